"""The findings of a study in sentences, the answer first; no more certain than they are."""

from __future__ import annotations

import json
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from dfkd_tune.reporting.findings import ENOUGH, RESAMPLES, Comparison, Findings, smallest_within
from dfkd_tune.search.attributes import RECIPE
from dfkd_tune.training import metrics as metric

VERBS = {"sure": "won", "likely": "probably won"}


def percent(share: float) -> str:
    """A share in percent, with a digit more where it is small."""
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"


def headline(found: Findings) -> str:
    """What the study came to, in one sentence."""
    student = found.student
    if student is None:
        return f"No trial of {found.name} is complete: {state_counts(found)}."
    rmse = found.promoted["rmse"] if found.promoted else student.user_attrs[metric.RMSE]
    words = f"A student of {student.user_attrs[metric.PARAMETERS]:,.0f} parameters answers like {found.teacher} with an RMSE of {rmse:.4g}"
    if found.untuned:
        words += ": it is of the untuned preset, as no trial did better"
    elif found.baseline_rmse:
        share = rmse / found.baseline_rmse
        words += f", {percent(abs(1 - share))} {'less' if share < 1 else 'more'} than the untuned preset"
    return words + "."


def state_counts(found: Findings) -> str:
    """How many trials are in which state."""
    return ", ".join(f"{count} {state}" for state, count in found.counts.items()) or "no trials"


def winner(comparison: Comparison) -> str:
    """Which choice won, by how much and how surely."""
    first, second = comparison.sides[:2]
    one, other = (_named(comparison.leaf, side.choice) for side in (first, second))
    verb = VERBS.get(comparison.verdict)
    said = f"its best trial is {percent(comparison.margin)} below the best of {other}"
    share = f"{percent(first.chance)} of {RESAMPLES:,} resamples of the trials"
    if verb is not None:
        return f"{one} {verb}: {said}, and it is the best in {share}."
    if comparison.noise is None:
        why = "nothing was run again on other seeds, so that the noise between seeds is not known"
    elif min(first.trials, second.trials) < ENOUGH:
        few = min((first, second), key=lambda side: side.trials)
        why = f"{_named(comparison.leaf, few.choice)} has {few.trials} complete {'trial' if few.trials == 1 else 'trials'} only"
    else:
        why = f"it is the best in only {share}"
    return f"Not sure. {one} leads: {said}, but {why}."


def size(found: Findings) -> str:
    """What a larger student buys."""
    known = found.size
    if known is None:
        return (
            "Not told: the students of this study hardly differ in size, or are too few. "
            "A study with `--pareto` searches small ones too."
        )
    often = f"{percent(abs(known.change))} {'less' if known.change < 0 else 'more'}"
    span = f"between {known.smallest:,} and {known.largest:,} parameters"
    interval = f"{100 * known.low:+.0f} to {100 * known.high:+.0f} % at 95 % confidence"
    if not known.sure:
        return (
            f"Not sure: twice the parameters go with {often} of the objective, {span}, but the interval is {interval}."
        )
    near, far = sorted((abs(known.low), abs(known.high)))
    interval = f"{100 * near:.0f} to {100 * far:.0f} % at 95 % confidence"
    return f"Twice the parameters: {often} of the objective ({interval}), {span}."


def smaller(found: Findings) -> str:
    """The smallest trials that are nearly as good as the best."""
    best, told = found.best, []
    assert best is not None  # asked of a study with a complete trial
    for share in (0.05, 0.2):
        trial = smallest_within(found.trials, share)
        assert trial is not None  # at least the best
        if trial.user_attrs[metric.PARAMETERS] < best.user_attrs[metric.PARAMETERS]:
            told.append(
                f"within {100 * share:.0f} % of the best: trial {trial.number}, {trial.user_attrs[metric.PARAMETERS]:,.0f} parameters"
            )
    if not told:
        return f"No smaller student is within 20 % of the best trial's {found.objective}."
    return (
        f"{'; '.join(told)}; the best, trial {best.number}, has {best.user_attrs[metric.PARAMETERS]:,.0f}.".capitalize()
    )


def noise(found: Findings) -> str:
    """How much of a difference seeds alone make."""
    if found.noise is None:
        return "Nothing was run again on other seeds: how much seeds alone change is not known."
    return f"The same recipe on another seed differs by {percent(found.noise)} (standard deviation), as the leaders' re-runs show."


def questions(found: Findings) -> list[tuple[str, str]]:
    """What a reader asks, and the answer: each choice that was searched, then size, then noise."""
    small = [("What would a smaller student cost?", smaller(found))] if found.best else []
    asked = [(f"Which {_plain(each.leaf)}?", winner(each)) for each in found.comparisons]
    return [*asked, ("What does size buy?", size(found)), *small, ("How much is chance?", noise(found))]


def recipe_line(trial: FrozenTrial) -> str:
    """The recipe of a trial in a line: what was chosen, and the one number that matters most of each choice."""
    return ", ".join(_words(trial))


def recipe_lines(trials: Sequence[FrozenTrial]) -> tuple[list[str], str]:
    """The recipes of several trials, a line each without what all of them share, and what they share."""
    told = [_words(trial) for trial in trials]
    alike = [word for word in told[0] if all(word in words for words in told)] if len(told) > 1 else []
    return [", ".join(word for word in words if word not in alike) for words in told], ", ".join(alike)


def _words(trial: FrozenTrial) -> list[str]:
    telling = {"student": "width", "bound": "threshold", "input_bound": "radius", "alpha": "value", "optimizer": "lr"}
    words = []
    for section, strategy in json.loads(trial.user_attrs[RECIPE]).items():
        if not isinstance(strategy, dict) or strategy["kind"] in ("none", "steps"):
            continue
        kind = strategy["kind"]
        if section == "alpha":
            kind = "alpha" if kind == "constant" else f"{kind} alpha"
        number = strategy.get(telling.get(section, ""))
        words.append(kind + (f" {number:.3g}" if number is not None else ""))
    return words


def _named(leaf: str, choice: str) -> str:
    return f"none (no {_plain(leaf)})" if choice == "none" else choice


def _plain(leaf: str) -> str:
    return leaf.partition(".")[0].replace("_", " ")
