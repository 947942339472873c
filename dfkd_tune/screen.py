"""What a study looks like in a terminal: a bar where there is one, a line now and then where there is none."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from .findings import SPAN, completed
from .progress import Progress, StudyResult
from .sentences import recipe_line

QUIET_SECONDS = 10.0
COLUMNS = {"stress_rmse": "stress", "latency_us": "µs a row"}


@contextmanager
def watch(console: Console, name: str) -> Iterator:
    """A callback for ``run_study`` that shows progress until the block ends."""
    if not console.is_terminal:
        yield _lines(console, name)
        return
    bar = Bar(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[state]}"),
        console=console,
    )
    with bar:
        task = bar.add_task(name, total=1.0, state="starting")
        yield lambda progress: bar.update(task, completed=progress.share, state=sentence(progress))


def _lines(console: Console, name: str):
    last, told = [-QUIET_SECONDS], [""]

    def show(progress: Progress) -> None:
        ended = progress.done + progress.pruned + progress.failed == progress.total
        over = ended and (progress.reruns is None or progress.reruns[0] == progress.reruns[1])
        line = f"{name}: {sentence(progress)}"
        if line != told[0] and (over or time.monotonic() - last[0] >= QUIET_SECONDS):
            last[0], told[0] = time.monotonic(), line
            console.print(line, soft_wrap=True, highlight=False)

    return show


def sentence(progress: Progress) -> str:
    """Trials done, running and pruned, the best objective and the time left, in one line."""
    parts = [
        f"{progress.done + progress.pruned + progress.failed}/{progress.total} trials",
        f"{progress.running} running",
        f"{progress.pruned} pruned",
    ]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.best:
        parts.append(f"best {progress.best[0]:.4g} (trial {progress.best[1]})")
    if progress.reruns is not None:
        parts.append("re-running leaders {}/{}".format(*progress.reruns))
    if progress.left is not None:
        parts.append(f"{clock(progress.left)} left")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def table(trials: Sequence[FrozenTrial]) -> Table:
    """Complete trials as a table, in their order."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    columns = {"rmse": "{:.4g}", "stress_rmse": "{:.4g}", "parameters": "{:.0f}", "latency_us": "{:.0f}"}
    sizes = [trial.user_attrs["parameters"] for trial in trials]
    if sizes and max(sizes) < SPAN * min(sizes):
        del columns["latency_us"]  # what differs is chance
    shown = {name: form for name, form in columns.items() if any(name in trial.user_attrs for trial in trials)}
    for column in ("trial", *(COLUMNS.get(name, name) for name in shown)):
        made.add_column(column, justify="right", no_wrap=True)
    made.add_column("recipe", overflow="fold")
    for trial in trials:
        known = trial.user_attrs
        cells = [form.format(known[name]) if name in known else "-" for name, form in shown.items()]
        made.add_row(str(trial.number), *cells, recipe_line(trial))
    return made


def summary(
    console: Console, result: StudyResult, trials: list[FrozenTrial], tier: str, ui: str, register: str
) -> None:
    """The end of a study: the leaders, the best against the preset, the next commands."""
    console.print()
    console.print(table(completed(trials)[:5]))
    console.print()
    if result.promoted is None:
        console.print("No trial completed.", highlight=False)
        return
    p = result.promoted
    how = "as it was" if p.run.startswith("trial") else f"re-run as {p.run}"
    console.print(
        f"Promoted: trial {p.trial}, {how}: RMSE student-vs-teacher {p.rmse:.4g} on the selection bank"
        + (f", {result.report:.4g} on the report bank" if result.report is not None else "")
        + f" (tier {tier}).",
        highlight=False,
        soft_wrap=True,
    )
    if result.baseline and math.isfinite(result.baseline):
        share = p.rmse / result.baseline
        change = f"{100 * (1 - share):.0f} % less" if share < 1 else f"{100 * (share - 1):.0f} % more"
        console.print(
            f"The untuned preset at the same budget: {result.baseline:.4g}. The promoted student has {change}.",
            highlight=False,
            soft_wrap=True,
        )
    console.print(f"\nBrowse the runs:      {ui}\nRegister the best:    {register}", highlight=False, soft_wrap=True)
