"""``check``: validate a study file and show what the study would search, without starting it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dfkd_tune.cli.options import DEVICE, TRUST
from dfkd_tune.cli.study_options import Changes, spec_of, study_changes
from dfkd_tune.utils.text import strict_json

if TYPE_CHECKING:
    from dfkd_tune.evaluation.knowledge.gain import Gain
    from dfkd_tune.inputs.prior import Inputs
    from dfkd_tune.search.study_file import StudySpec
    from dfkd_tune.study.prepare import Prepared
    from dfkd_tune.study.total.division import Division

ESTIMATE_CALLS = 300
"""About how many calls of the teacher an estimate makes, at most: as many as it runs training steps."""
ANNOUNCED_S, LEFT_OUT_S = 10.0, 60.0
"""Seconds of teacher queries from which an estimate is announced, and from which it runs only with ``--estimate``."""


@click.command(
    short_help="Validate a study file; show its search space, time, memory, and what more knowledge would buy."
)
@study_changes
@click.option(
    "--estimate/--no-estimate",
    "timed",
    default=None,
    help="Run a small part of the study to estimate time, memory, and what more knowledge of the inputs would buy; default: only if the "
    "teacher is fast enough.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what is found as JSON.")
@DEVICE
@TRUST
def check(
    spec: str | None,
    changes: Changes,
    timed: bool | None,
    as_json: bool,
    device: str,
    trust_pickle: bool,
) -> None:
    """Read the study file SPEC, probe its teacher, and print the search space, time and memory. Writes nothing.

    Without SPEC, check the study that dfkd-tune study --teacher would run, or the quickstart. Options that change a study are those of
    dfkd-tune study.
    """
    read = spec_of(spec, changes)
    if timed and read.budget.total_queries is not None:
        from dfkd_tune.errors import SpecError

        rule = f"asks the teacher for rows that a total of {read.budget.total_queries:,} queries does not count"
        raise SpecError("--estimate", rule, remedy="leave --estimate out, or check the study without its total")
    from rich.console import Console  # with the rest, seconds, for which a refusal does not wait
    from rich.tree import Tree

    from dfkd_tune.cli.signature_table import signature_table
    from dfkd_tune.inputs.summary import meaning
    from dfkd_tune.locations import paths
    from dfkd_tune.reporting.terminal_progress import clock
    from dfkd_tune.study.agreement.lengths import trial_steps
    from dfkd_tune.study.agreement.settings import defaults_for
    from dfkd_tune.study.calibration import choose_parallelism
    from dfkd_tune.study.estimate import estimate, estimate_rows, first_recipes
    from dfkd_tune.study.prepare import prepare
    from dfkd_tune.study.queries import queries
    from dfkd_tune.utils import hardware
    from dfkd_tune.utils.plugins import installed

    prepared = prepare(read, trust_pickle, device)
    found, asked, space = prepared.probe, prepared.spec, prepared.space
    about, budget, tier = asked.study, asked.budget, prepared.inputs.tier
    sizes = prepared.sizes
    defaults = defaults_for(asked, found)
    weighed = f" against {about.pareto}" if about.pareto else ""
    limit = f"at most {space.max_parameters:,} parameters" if space.max_parameters else "no limit"
    seed = f"seed {about.seed}" if asked.seeded else "no seed"
    facts = {
        "study": f"{asked.name}: {about.trials} trials of {trial_steps(asked)} steps{_again(asked)}, {seed}, objective {about.objective}{weighed}",
        "teacher": f"{prepared.teacher.source}: {found.features} features, {found.outputs} output{'s' if found.outputs > 1 else ''}, "
        f"{'differentiable' if found.differentiable else 'black box'}, {_number(found.rows_per_second)} rows/s"
        + (f", {prepared.teacher.parameters:,} parameters" if prepared.teacher.parameters else "")
        + (f"; {found.limits}" if found.limits else ""),
        "inputs": f"tier {tier}: {meaning(prepared.inputs)}{_encoded(prepared.inputs)}",
        "rows": f"{_rows(prepared)}; about {sizes.bytes / 2**20:,.0f} MiB a process, "
        f"{hardware.memory_of(prepared.device) / 2**20:,.0f} MiB may be taken",
        "student": f"{limit}; preset {asked.preset or defaults.name}{'' if asked.preset else ', the default here'}",
        "device": prepared.device,
    }
    if offered := installed():
        facts["plug-ins"] = "; ".join(
            f"{package}: {', '.join(f'{kind} ({group})' for group, kind in kinds)}"
            for package, kinds in offered.items()
        )
    console, said = Console(quiet=as_json), dict[str, Any]()

    def say(name: str, words: str) -> None:
        said[name] = words
        console.print(f"[bold]{name:<9}[/] ", end="")
        console.print(words, highlight=False, soft_wrap=True, markup=False)

    recipes = first_recipes(prepared)
    asked_for = None if budget.total_queries else queries(prepared, recipes)
    facts["queries"] = (
        _divided(prepared)
        if asked_for is None
        else f"about {asked_for.total:,} teacher rows in all: {asked_for.opening:,} to know and time it, {asked_for.shared:,} before the first trial (budget.pool, budget.bank), "
        f"{asked_for.trial:,} a trial (budget.teacher_rows limits them), {asked_for.again:,} each for {_finished(asked)}, {asked_for.certificate:,} for the certificate"
        + (f", {asked_for.knowledge:,} for what more knowledge would buy" if asked_for.knowledge else "")
    )
    for name, words in facts.items():
        say(name, words)
        if name == "teacher" and (table := signature_table(prepared)) is not None:
            console.print(table, highlight=False, soft_wrap=True)
    described = space.describe()
    tree = Tree("[bold]search[/]" if described["search"] else "[bold]search[/]: nothing, the preset as it is")
    for section, leaves in _sections(described["search"]).items():
        branch = tree.add(section + _only(space.generators(section)))
        for field, value in leaves.items():
            branch.add(f"{field:<10} {_words(value)}{_only(space.owners(f'{section}.{field}'))}")
    console.print(tree, highlight=False, soft_wrap=True)

    def ended(gain: Gain | None) -> None:
        if gain is not None:
            say("knowledge", gain.words())
        if as_json:
            told = None if gain is None else {**asdict(gain), "command": gain.command}
            click.echo(strict_json.dumps({**said, "search": described["search"], "knowledge": told}))

    if asked_for is None:
        say("time", "not estimated, as an estimate would ask for rows")
        return ended(prepared.gain())
    rows = 0 if timed is False else estimate_rows(prepared, recipes)
    asks = rows / found.rows_per_second + ESTIMATE_CALLS * found.overhead
    if timed is None and asks > LEFT_OUT_S:
        say(
            "time", f"not estimated, as {rows:,} rows of its teacher alone take about {clock(asks)}; --estimate does it"
        )
    elif timed is not False:
        if asks > ANNOUNCED_S:
            click.echo(f"the estimate asks this teacher for about {rows:,} rows, which take {clock(asks)}", err=True)
        taken = estimate(prepared)
        every = f"re-runs included; {_number(taken.trial)} s a trial; pruning makes it less"
        folder = paths.shared_folder(paths.optuna_url(None), "calibration")
        plan = choose_parallelism(prepared, folder=folder, keep=False, forked=sys.platform == "linux")
        say(
            "parallel",
            f"{_count(plan.workers, 'process', 'es')} of {_count(plan.population, 'trial')} at once: {plan.why}",
        )
        say("time", f"about {clock(taken.seconds)} of training on this machine, {every}")
        say("memory", f"about {taken.bytes / 2**20:,.0f} MiB")
        return ended(prepared.gain())
    ended(None)


def _finished(spec: StudySpec) -> str:
    """The students of a study that train all steps."""
    from dfkd_tune.study.agreement.lengths import most_reruns

    again, pruned = most_reruns(spec), spec.study.smaller_runs
    parts = [f"up to {again:,} re-runs"] * bool(again) + [f"up to {pruned:,} pruned students"] * bool(pruned)
    return " and ".join([*parts, "the baseline"])


def _again(spec: StudySpec) -> str:
    """What the best recipes are trained again with, if not with the steps of a trial."""
    from dfkd_tune.study.agreement.lengths import has_short_trials

    return f" (the best again with {spec.budget.steps})" if has_short_trials(spec) else ""


def _rows(prepared: Prepared) -> str:
    """The rows that trials train on and are measured on."""
    sizes, budget = prepared.sizes, prepared.spec.budget
    if budget.total_queries is not None:
        told = "all trials train on all rows that are answered by then, and are measured on those held out of them"
        return told + _labeled(prepared)
    return f"{sizes.shrunk or f'pool of {sizes.pool:,} prior rows'}, banks of {budget.bank:,}{_wait(prepared)}"


def _labeled(prepared: Prepared) -> str:
    """Who labels further rows for the re-runs; empty if nobody does and the study file does not ask for it."""
    from dfkd_tune.study.total.different import count_different
    from dfkd_tune.study.total.division import Division

    total = prepared.spec.budget.total_queries or 0
    divided = Division.of(total, different=count_different(prepared.inputs, total))
    members = 0 if divided.different else prepared.space.committee(divided.shared)
    members = min(members, prepared.spec.study.trials)
    if not members or not prepared.spec.study.reruns:
        asked = prepared.space.preset.assistant.committee and "assistant.kind" in prepared.spec.fixed
        return f"; the committee labels nothing: {_why_nobody(prepared, divided)}" if asked else ""
    return f"; re-runs train on further rows too, which the students of up to {members} best trials label"


def _why_nobody(prepared: Prepared, divided: Division) -> str:
    if not prepared.spec.study.reruns:
        return "study.reruns is 0"
    if divided.different:
        return "the teacher answers all different inputs"
    return f"trials share {divided.shared:,} answered rows, more than its most_answered"


def _divided(prepared: Prepared) -> str:
    """How a new study would divide its total number of queries, and what this check asked besides."""
    from dfkd_tune.study.total.different import count_different
    from dfkd_tune.study.total.division import Division

    total, meter = prepared.spec.budget.total_queries, prepared.teacher.guard.meter
    assert total is not None and meter is not None  # the caller's condition
    few = count_different(prepared.inputs, total)
    words = Division.of(total, meter.asked, few).words()  # the study asks the same before its own rows
    return f"{total:,} teacher rows in all, later sessions included: {words}; this check asked {meter.asked:,} more"


def _encoded(inputs: Inputs) -> str:
    """How the inputs are encoded for students; empty if students take them unchanged."""
    from dfkd_tune.inputs.encoding import encoder

    encoding, names = encoder(inputs).encoding, [inputs.names[i] for i in inputs.nominal]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    words = [f"students take {shown} one-hot, as the order of the levels says nothing"] if names else []
    if encoding.dtype == "float64":
        words.append("students take float64, as float32 would round what is declared")
    return "".join(f"; {each}" for each in words)


def _wait(prepared: Prepared) -> str:
    """How long the teacher takes for the rows queried before the first trial; empty if that is short."""
    from dfkd_tune.reporting.terminal_progress import clock
    from dfkd_tune.training.banks import BANKS

    seconds = (prepared.sizes.pool + len(BANKS) * prepared.spec.budget.bank) / prepared.probe.rows_per_second
    return f", which its teacher answers in about {clock(seconds)}" if seconds > ANNOUNCED_S else ""


def _number(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _only(kinds: list[str]) -> str:
    """The generators that a part of the tree applies to; empty if it applies to all."""
    return f" [dim]({', '.join(kinds)})[/]" if kinds else ""


def _count(number: int, word: str, plural: str = "s") -> str:
    return f"{number} {word}{plural if number > 1 else ''}"


def _sections(search: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Section -> field -> domain. The generator comes first because other leaves depend on it."""
    parts: dict[str, dict[str, Any]] = (
        {"generator": {}} if any(leaf.startswith("generator.") for leaf in search) else {}
    )
    for leaf, value in search.items():
        section, _, field = leaf.partition(".")
        parts.setdefault(section, {})[field] = value
    return parts


def _words(value: Any) -> str:
    """A search domain in words."""
    if isinstance(value, list):
        words = (each if isinstance(each, str) else json.dumps(each) for each in value)
        return ", ".join(word.removesuffix(".0") for word in words)
    return f"{value['low']:g} to {value['high']:g}{', logarithmic' if value['log'] else ''}"
