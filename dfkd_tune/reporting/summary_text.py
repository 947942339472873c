"""The findings of a study in sentences that state how certain they are."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from dfkd_tune.reporting.findings import ENOUGH, RESAMPLES, Comparison, Findings, smallest_within
from dfkd_tune.reporting.seed_noise import Rival
from dfkd_tune.search.attributes import RECIPE
from dfkd_tune.search.ranking import Smallest, recipe_name
from dfkd_tune.tracking import tags as tag
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.rmse_words import rmse_in_words
from dfkd_tune.utils.text.markdown import argument

VERBS = {"sure": "won", "likely": "probably won"}


def percent(share: float) -> str:
    """A share in percent, with one more digit if it is small."""
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"


def headline(found: Findings) -> str:
    """The result of the study: size and RMSE of its student, compared with the untuned baseline."""
    student = found.student
    if student is None:
        return f"No trial of {found.name} is complete: {state_counts(found)}."
    rmse = found.promoted["rmse"] if found.promoted else student.user_attrs[metric.RMSE]
    told, known = f"{rmse:.4g}", student.user_attrs
    if metric.OUTPUT_RMSE.format(1) in known and not (found.run or "").startswith("rerun"):  # it is not on record there
        told = rmse_in_words(rmse, known[metric.NRMSE], 2)
    words = f"A student with {known[metric.PARAMETERS]:,.0f} parameters matches {found.teacher} with an RMSE of {told}"
    if found.untuned:
        words += ". It is the untuned baseline, because no trial did better"
    elif found.baseline_rmse:
        share = rmse / found.baseline_rmse
        words += f", {percent(abs(1 - share))} {'lower' if share < 1 else 'higher'} than that of the untuned baseline"
        words += why_higher(share, found.objective)
    return words + "."


def why_higher(share: float, objective: str) -> str:
    """Why a student was promoted whose RMSE is ``share`` of the preset's; empty if it is no higher, or the RMSE is the objective."""
    return "" if share <= 1 or objective == metric.RMSE else f" (students are promoted by the objective, {objective})"


def state_counts(found: Findings) -> str:
    """Number of trials in each state."""
    return ", ".join(f"{count} {state}" for state, count in found.counts.items()) or "no trials"


def winner(comparison: Comparison) -> str:
    """Which choice won, by how much, and how certain that is."""
    first, second = comparison.sides[:2]
    one, other = (_named(comparison.leaf, side.choice) for side in (first, second))
    verb = VERBS.get(comparison.verdict)
    said = f"the objective of its best trial is {percent(comparison.margin)} lower than the best of {other}"
    share = f"{percent(first.chance)} of {RESAMPLES:,} resamples of the trials"
    if verb is not None:
        return f"{one} {verb}: {said}. It has the best trial in {share}."
    if comparison.noise is None:
        why = "no recipe has students that differ by their seed alone, so the seed noise is unknown"
    elif min(first.trials, second.trials) < ENOUGH:
        few = min((first, second), key=lambda side: side.trials)
        why = f"{_named(comparison.leaf, few.choice)} has only {few.trials} complete {'trial' if few.trials == 1 else 'trials'}"
    else:
        why = f"it has the best trial in only {share}"
    return f"Not sure. {one} leads: {said}, but {why}."


def size(found: Findings) -> str:
    """The effect of the student's size on the objective."""
    known = found.size
    if known is None:
        return (
            "Unknown: this study has too few students, or their sizes are too similar. "
            "A study with `--pareto` also searches small students."
        )
    by = f"{'lower' if known.change < 0 else 'raise'} the objective by {percent(abs(known.change))}"
    span = f"between {known.smallest:,} and {known.largest:,} parameters"
    interval = f"{100 * known.low:+.0f} to {100 * known.high:+.0f} %"
    if not known.sure:
        return f"Not sure: twice the parameters {by} {span}, but the 95 % confidence interval is {interval}."
    near, far = sorted((abs(known.low), abs(known.high)))
    return f"Twice the parameters {by} {span} (95 % confidence interval: {100 * near:.0f} to {100 * far:.0f} %)."


def smaller(found: Findings) -> str:
    """The smallest students whose objective is close to the best."""
    best, parts = found.best, []
    assert best is not None  # only called with a complete trial
    for share in (0.05, 0.2):
        trial = smallest_within(found.trials, share)
        assert trial is not None  # the best trial itself qualifies
        if trial.user_attrs[metric.PARAMETERS] < best.user_attrs[metric.PARAMETERS]:
            parts.append(
                f"within {100 * share:.0f} % of the best: trial {trial.number} with {trial.user_attrs[metric.PARAMETERS]:,.0f} parameters"
            )
    if not parts:
        return "No smaller student's objective is within 20 % of the best trial's."
    return f"{'; '.join(parts)}; the best trial, {best.number}, has {best.user_attrs[metric.PARAMETERS]:,.0f}.".capitalize()


def smallest_in_words(known: Smallest) -> str:
    """The smallest size within the share of the best that the study allows, and how sure that is."""
    tried = ", ".join(f"{each.parameters:,} ({_change(each.ratio)})" for each in known.tried)
    began = f"{known.parameters:,} parameters, pruned and trained on with {known.seeds} seeds"
    limit = percent(known.share)
    if not known.tried:
        return f"Unknown: a student of this kind with {known.parameters:,} parameters has no width or layer to prune."
    if (size := known.size) is None:
        return f"No smaller size keeps within {limit} of the best, from {began}. Tried: {tried} parameters."
    return (
        f"{size.parameters:,} parameters, from {began}: the objective changes by {_change(size.ratio)} "
        f"(95 % confidence interval over seeds: {_change(size.low)} to {_change(size.high)}), "
        f"within {limit} at {100 * size.confidence:.0f} % confidence. Tried: {tried} parameters."
    )


def _change(ratio: float) -> str:
    return "diverged" if math.isinf(ratio) else f"{100 * (ratio - 1):+.1f} %"


def lengths(found: Findings) -> str:
    """How many steps trials trained, and how many the students that may be promoted."""
    assert found.shortened is not None  # the caller's condition
    trial, whole = found.shortened
    return (
        f"Trials train {trial:,} steps. The best recipes are trained again with {whole:,}, as the untuned baseline is."
    )


def short_student(shortened: tuple[int, int]) -> str:
    """That a student trained fewer steps than those that are promoted: its own steps, and theirs."""
    return "it trained {:,} of {:,} steps, as trials do; the study promotes students of all steps when it ends".format(
        *shortened
    )


def noise(found: Findings) -> str:
    """The size of the seed noise."""
    if found.noise is None:
        return "Unknown: no recipe has students that differ by their seed alone."
    return f"Re-runs of the best recipes on other seeds differ by {percent(found.noise)} (standard deviation)."


def as_good(found: Findings) -> str:
    """Which recipes the study cannot tell apart from the promoted one."""
    alike, apart = ([each for each in found.rivals if each.alike is told] for told in (True, False))
    others = ", ".join(map(_rival, apart))
    if not alike:
        return f"No. Their objectives differ from that of the promoted recipe by more than seed noise: {others}."
    said = f"Perhaps. This study cannot tell the promoted recipe apart from {', '.join(map(_rival, alike))}."
    return said + (f" It can from {others}." if apart else "")


def _rival(rival: Rival) -> str:
    interval = f"95 % confidence interval over seeds: {_change(rival.low)} to {_change(rival.high)}"
    return f"{recipe_name(rival.trial)} ({_change(rival.ratio)}; {interval})"


def certainty(found: Findings) -> str:
    """The uncertainty of the best trial's objective, where few rows are held out."""
    best, error = found.best, found.error
    assert best is not None and error is not None  # the caller's condition
    return (
        f"That of trial {best.number} is {best.values[0]:.4g} ± {error:.2g} (standard error over the held-out rows). "
        "Trials are measured on the same rows, so that their differences are more certain."
    )


def queries(found: Findings) -> str:
    """How many rows each part of a total number of queries took."""
    assert found.queries is not None  # the caller's condition
    total, parts = found.queries
    told = ", ".join(f"{part} {rows:,}" for part, rows in parts.items())
    lost = (
        f" Of the rows asked, {found.lost_queries:,} have no answer on record: calls failed, processes were killed, or files are gone."
        if found.lost_queries
        else ""
    )
    return f"{total:,} teacher rows in all: {told}; {total - sum(parts.values()):,} are left.{lost}"


def trained_rows(found: Findings) -> str:
    """How many answered rows the students trained on."""
    rows = found.rows
    assert rows is not None  # the caller's condition
    span = f"{rows.fewest:,}" if rows.fewest == rows.most else f"{rows.fewest:,} to {rows.most:,}"
    told = f"Trials trained on {span} of {rows.now:,} answered rows"
    told += ", as rows are asked between them" if rows.fewest < rows.now else ""
    known = {"the untuned baseline": rows.untuned, "the promoted student": rows.promoted}
    told += "".join(f", {name} on {count:,}" for name, count in known.items() if count is not None)
    fewer = [name for name, count in known.items() if count is not None and count < rows.now]
    if fewer and found.promoted is not None:
        return f"{told}. {' and '.join(fewer).capitalize()} had fewer than there are now: without re-runs, that is not made up for."
    told += ". The untuned baseline and the re-runs, which decide what is promoted, train on all of them."
    return told + " The re-runs also train on rows that the students of the best trials labeled." * rows.committee


def beside(promoted: int | None, untuned: int | None) -> str:
    """On how many answered rows the untuned baseline trained, beside the promoted student; empty where their number does not grow."""
    if promoted is None or untuned is None:
        return ""
    if promoted == untuned:
        return f" and the same {untuned:,} answered rows"
    return f", on {untuned:,} answered rows where the promoted student had {promoted:,}"


def questions(found: Findings) -> list[tuple[str, str]]:
    """Questions and answers: about each searched choice, then size, then seed noise."""
    small = [("What would a smaller student cost?", smaller(found))] if found.best else []
    asked = [(f"Which {_plain(each.leaf)}?", winner(each)) for each in found.comparisons]
    return [
        *asked,
        ("What does a larger student gain?", size(found)),
        *small,
        *([("How small may the student be?", smallest_in_words(found.smallest))] if found.smallest is not None else []),
        *([("How long do students train?", lengths(found))] if found.shortened is not None else []),
        ("How large is the seed noise?", noise(found)),
        *([("Is another recipe as good?", as_good(found))] if found.rivals else []),
        *([("How certain is the objective?", certainty(found))] if found.error is not None else []),
        *([("Where did the teacher's rows go?", queries(found))] if found.queries is not None else []),
        *([("How many rows did each student have?", trained_rows(found))] if found.rows is not None else []),
    ]


def recipe_line(trial: FrozenTrial) -> str:
    """The recipe of a trial in one line: each choice with its most important number."""
    return ", ".join(_words(trial))


def recipe_lines(trials: Sequence[FrozenTrial]) -> tuple[list[str], str]:
    """One line for each trial's recipe, and a line of the choices that all of them share and no other line repeats.

    Every leaf in which recipes of the same kinds differ is told.
    """
    apart = _different([_tree(trial) for trial in trials])
    recipes = [_words(trial, apart) for trial in trials]
    alike = [word for word in recipes[0] if all(word in words for words in recipes)] if len(recipes) > 1 else []
    return [", ".join(word for word in words if word not in alike) for words in recipes], ", ".join(alike)


TELLING = {
    "student": "width",
    "bound": "threshold",
    "input_bound": "radius",
    "alpha": "value",
    "optimizer": "lr",
    "assistant": "times",
}
"""Section -> its most important leaf, which is told without its name."""
COMMON = ("none", "steps", "best")
"""Kinds that are not told."""
Leaf = tuple[str, str, str]
"""Section, kind and leaf of a recipe; kind and leaf are empty for a plain number."""


def _tree(trial: FrozenTrial) -> dict[str, Any]:
    return json.loads(trial.user_attrs[RECIPE])


def _different(recipes: Sequence[Mapping[str, Any]]) -> set[Leaf]:
    """The leaves in which some of the recipes with the same kind in that section differ."""
    found: dict[Leaf, set[str]] = {}
    for recipe in recipes:
        for section, strategy in recipe.items():
            leaves = strategy if isinstance(strategy, Mapping) else {"": strategy}
            for leaf, value in leaves.items():
                found.setdefault((section, leaves.get("kind", ""), leaf), set()).add(repr(value))
    return {leaf for leaf, values in found.items() if len(values) > 1}


def _words(trial: FrozenTrial, apart: Collection[Leaf] = ()) -> list[str]:
    """The choices of a trial: each section's kind, its most important number, and its leaves in ``apart``."""
    words = []
    for section, strategy in _tree(trial).items():
        if not isinstance(strategy, Mapping):
            words += [f"{section} {_told(strategy)}"] if (section, "", "") in apart else []
            continue
        kind, first = strategy["kind"], TELLING.get(section)
        others = {leaf: value for leaf, value in strategy.items() if (section, kind, leaf) in apart and leaf != first}
        if kind in COMMON and not others:
            continue
        if section == "alpha":
            kind = "alpha" if kind == "constant" else f"{kind} alpha"
        if section == "checkpoint":
            kind = f"{kind} weights"
        number = strategy.get(first or "")
        told = f" {_told(number)}" if number is not None else ""
        told += "".join(f" {leaf} {_told(value)}" for leaf, value in others.items())
        words.append(kind + told)
    return words


def _told(value: Any) -> str:
    """A value as a study file writes it, a number in three digits."""
    return f"{value:.3g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def _named(leaf: str, choice: str) -> str:
    return f"none (no {_plain(leaf)})" if choice == "none" else choice


def _plain(leaf: str) -> str:
    return leaf.partition(".")[0].replace("_", " ")


def again(tags: Mapping[str, str], run: Any) -> str | None:
    """The command that distills a run's student again, one option a line: a long line pushes MLflow's page out of the window.

    Args:
        tags: tags of the study's parent run.
        run: the student's MLflow run.

    Returns:
        None if the student was pruned from another one, which no recipe repeats, or if its study counts the teacher's rows.
    """
    if run.data.tags.get(tag.KIND) == tag.RunKind.SMALLER or tag.TOTAL_QUERIES in tags:
        return None
    options = {"--teacher": tag.TEACHER, "--architecture": tag.ARCHITECTURE, "--features": tag.FEATURES}
    given = [f"{option} {argument(tags[name])}" for option, name in options.items() if name in tags]
    return " \\\n    ".join(["dfkd-tune distill", *given, f"--run {run.info.run_id}", "--out student/"])
