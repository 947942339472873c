"""The end of a study in the terminal: a table of the best trials, the promoted student, and the next commands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import IO

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table

from dfkd_tune.reporting import summary_text
from dfkd_tune.reporting.findings import SPAN
from dfkd_tune.reporting.seed_noise import completed
from dfkd_tune.reporting.summary_text import recipe_lines
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.progress import StudyResult
from dfkd_tune.search.ranking import Promoted, Smallest, recipe_name, run_name
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.rmse_words import outputs_in_words

COLUMNS = {
    metric.STRESS_RMSE: "stress",
    metric.STRESS_NRMSE: "stress nrmse",
    metric.LATENCY: "µs a row",
    metric.ANSWERED_ROWS: "rows",
}
SEVERAL = metric.OUTPUT_RMSE.format(1)
"""A metric that students with several outputs have."""


PIPED = 200
"""Width of a table in a pipe or a file, in characters."""


def wide(file: IO[str] | None = None) -> Console:
    """A console for tables, which are not folded where nobody reads them on a screen.

    Args:
        file: where it prints; None for standard output.
    """
    found = Console(file=file)
    return found if found.is_terminal else Console(file=file, width=PIPED)


def table(trials: Sequence[FrozenTrial], objective: str, shortened: tuple[int, int] | None = None) -> Table:
    """A table of complete trials in the given order; below it, the choices that all their recipes share.

    Args:
        trials: complete trials.
        objective: name of the objective.
        shortened: steps of a trial, and of a re-run, if trials train fewer.
    """
    recipes, alike = recipe_lines(trials)
    if shortened is not None and trials:
        alike = ", ".join([*filter(None, [alike]), "{:,} of {:,} steps".format(*shortened)])
    made = Table(
        box=None, pad_edge=False, header_style="bold", caption=alike and f"all: {alike}", caption_justify="left"
    )
    # Of several outputs, the RMSE in their units is that of the largest.
    stress = metric.STRESS_NRMSE if any(SEVERAL in trial.user_attrs for trial in trials) else metric.STRESS_RMSE
    rmse = metric.NRMSE if stress == metric.STRESS_NRMSE else metric.RMSE
    columns = {
        rmse: "{:.4g}",
        stress: "{:.4g}",
        metric.PARAMETERS: "{:.0f}",
        metric.LATENCY: "{:.1f}",
        metric.ANSWERED_ROWS: "{:.0f}",
    }
    sizes = [trial.user_attrs[metric.PARAMETERS] for trial in trials]
    if sizes and max(sizes) < SPAN * min(sizes):
        del columns[metric.LATENCY]  # sizes are similar, so latencies differ only by noise
    shown = {name: form for name, form in columns.items() if any(name in trial.user_attrs for trial in trials)}
    shown.pop(objective, None)
    for column in ("trial", objective, *(COLUMNS.get(name, name) for name in shown)):
        made.add_column(column, justify="right", no_wrap=True)
    made.add_column("recipe", overflow="fold")
    for trial, recipe in zip(trials, recipes, strict=True):
        known = trial.user_attrs
        cells = [form.format(known[name]) if name in known else "-" for name, form in shown.items()]
        made.add_row(str(trial.number), f"{trial.values[0]:.4g}", *cells, recipe)
    return made


def summary(
    console: Console,
    result: StudyResult,
    trials: list[FrozenTrial],
    tier: str,
    objective: str,
    commands: Mapping[str, str],
    known: StudyRecord,
) -> None:
    """Print the best trials, the promoted student compared with the untuned baseline, and the next commands.

    Args:
        console: where to print.
        result: result of the study.
        trials: its trials.
        tier, objective: metadata tier and name of the objective.
        commands: description -> command.
        known: the study's attributes.
    """
    console.print()
    console.print(table(completed(trials)[:5], objective, known.shortened))
    console.print()
    p = promoted(console, result, tier)
    if p.trial is not None and result.baseline and math.isfinite(result.baseline):
        share = p.rmse / result.baseline
        change = f"{100 * (1 - share):.0f} % lower" if share < 1 else f"{100 * (share - 1):.0f} % higher"
        console.print(
            f"RMSE of the untuned baseline at the same budget{summary_text.beside(p.rows, result.baseline_rows)}: {result.baseline:.4g}. The promoted student's is {change}"
            f"{summary_text.why_higher(share, objective)}.",
            highlight=False,
            soft_wrap=True,
        )
    if known.smallest is not None:
        told = summary_text.smallest_in_words(Smallest.of(known.smallest))
        console.print(f"Smallest student: {told}", highlight=False, soft_wrap=True)
    console.print()
    for what, command in commands.items():
        console.print(f"{what + ':':<20}  {command}", highlight=False, soft_wrap=True, markup=False)


def promoted(console: Console, result: StudyResult, tier: str) -> Promoted:
    """Print the promoted student in one line, and return it. A study with a complete trial has one."""
    p = result.promoted
    assert p is not None  # ``require_complete`` came before
    words = "re-run as" if p.run.startswith("rerun") else "pruned and trained on as"
    again = "" if p.run == run_name(p.trial) else f" ({words} {p.run})"
    why = ", because no trial did better" if p.trial is None else ""
    console.print(
        f"Promoted: {recipe_name(p.trial)}{again}{why}. RMSE against the teacher: {p.rmse:.4g} on the selection bank"
        + (f", {result.report:.4g} on the report bank" if result.report is not None else "")
        + f". Inputs: tier {tier}.",
        highlight=False,
        soft_wrap=True,
    )
    if result.by_output:
        told = outputs_in_words(result.by_output)
        console.print(f"By output, on the report bank: {told}.", highlight=False, soft_wrap=True, markup=False)
    return p
