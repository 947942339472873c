"""Show the progress of a study: a live view, a line from time to time, or a JSON line for every event."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dfkd_tune.search.progress import Progress, StudyResult
from dfkd_tune.utils.text import strict_json

LINE_SECONDS = 10.0
MOST_RUNNING, MOST_ENDED = 8, 3
"""Largest number of running trials, and of pruned trials, in the view."""
BARS = "▁▂▃▄▅▆▇█"
OnProgress = Callable[[Progress], None]


@contextmanager
def watch(console: Console, name: str, mode: str = "live") -> Iterator[OnProgress]:
    """A callback for ``run_study`` that shows the progress until the block ends.

    Args:
        console: the output. If it is not a terminal, ``live`` prints a plain line every ``LINE_SECONDS``.
        name: name of the study.
        mode: ``live``, ``json`` or ``quiet``.
    """
    if mode == "quiet":
        yield lambda progress: None
    elif mode == "json":
        yield _events(console, name)
    elif not console.is_terminal:
        yield _lines(console, name)
    else:
        with Live(Text(f"{name}: starting"), console=console, refresh_per_second=4) as live:
            yield lambda progress: live.update(view(name, progress))


def view(name: str, progress: Progress) -> Group:
    """The live view of a running study."""
    p = progress
    head = Table.grid(padding=(0, 1))
    head.add_row(Text(name, style="bold"), ProgressBar(total=1.0, completed=p.share, width=24), sentence(p))
    parts: list[RenderableType] = [head]
    if p.best is not None:
        pace = f"{p.pace:.1f} trials a minute" if p.pace else ""
        untuned = f"untuned baseline {p.baseline:.4g}" if p.baseline else ""
        words = "  ".join(filter(None, (f"best {p.best[0]:.4g}", untuned, pace)))
        parts.append(Text.assemble(sparkline(p.bests), "  ", (words, "dim")))
    if p.running_trials:
        members = Table.grid(padding=(0, 2))
        for running in p.running_trials[:MOST_RUNNING]:
            now = f"RMSE {running.rmse:.4g}" if running.rmse is not None else ""
            bar = ProgressBar(total=running.steps, completed=running.step, width=12)
            members.add_row(running.key, bar, f"{running.unit} {running.step:,} of {running.steps:,}", now)
        if len(p.running_trials) > MOST_RUNNING:
            members.add_row(f"and {len(p.running_trials) - MOST_RUNNING} more")
        parts.append(members)
    ended = [each for each in p.finished_trials.values() if each.reason]
    parts += [Text(f"trial {each.trial} given up: {each.reason}", style="dim") for each in ended[-MOST_ENDED:]]
    return Group(*parts)


def sparkline(values: Sequence[float], width: int = 32) -> str:
    """The last ``width`` values as a line of bars on a logarithmic scale."""
    known = [math.log(value) for value in values[-width:] if value > 0]
    if not known:
        return ""
    low, span = min(known), (max(known) - min(known)) or 1.0
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in known)


def sentence(progress: Progress) -> str:
    """One line with the numbers of trials by state, the best objective and the time left."""
    parts = [
        f"{progress.ended}/{progress.total} trials",
        f"{progress.running} running",
        f"{progress.pruned} pruned",
    ]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.queries is not None:
        parts.append("{:,} of {:,} teacher rows asked".format(*progress.queries))
    if progress.best:
        parts.append(f"best {progress.best[0]:.4g} (trial {progress.best[1]})")
    if progress.pruned_students is not None:
        parts.append("training pruned students {}/{}".format(*progress.pruned_students))
    elif progress.reruns is not None:
        parts.append("re-running leaders {}/{}".format(*progress.reruns))
    if progress.left is not None:
        parts.append(f"{clock(progress.left)} left")
    if progress.waiting is not None:
        parts.append(f"waiting for {progress.waiting}")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _lines(console: Console, name: str) -> OnProgress:
    last, printed = [-LINE_SECONDS], [""]

    def show(progress: Progress) -> None:
        line, waits = f"{name}: {sentence(progress)}", progress.waiting
        again = progress.reruns
        over = progress.ended == progress.total and (again is None or again[0] == again[1])
        over = over and progress.pruned_students is None
        news = over or (waits is not None and waits not in printed[0])
        if line != printed[0] and (news or time.monotonic() - last[0] >= LINE_SECONDS):
            last[0], printed[0] = time.monotonic(), line
            console.print(line, soft_wrap=True, highlight=False)

    return show


def _events(console: Console, name: str) -> OnProgress:
    known: set[int] = set()
    printed: dict[str, object] = {}

    def show(progress: Progress) -> None:
        if not printed:
            known.update(progress.finished_trials)
            event(console, "start", study=name, trials=progress.total, ended=progress.ended)
        for number, trial in list(progress.finished_trials.items()):
            if number not in known:
                known.add(number)
                best = {"best": progress.best[0], "best_trial": progress.best[1]} if progress.best else {}
                event(console, "trial", **vars(trial), ended=progress.ended, **best, seconds=round(progress.seconds, 3))
        if progress.reruns is not None and progress.reruns != printed.get("reruns"):
            event(console, "reruns", done=progress.reruns[0], total=progress.reruns[1])
        if progress.pruned_students is not None and progress.pruned_students != printed.get("pruned_students"):
            done, about = progress.pruned_students
            event(console, "pruned_students", done=done, about=about)
        if progress.waiting != printed.get("waiting") and progress.waiting is not None:
            event(console, "waiting", waiting_for=progress.waiting)
        printed.update(begun=True, reruns=progress.reruns, waiting=progress.waiting)
        printed.update(pruned_students=progress.pruned_students)

    return show


def ended(console: Console, result: StudyResult) -> None:
    """The last JSON line of a study: its result."""
    promoted = vars(result.promoted) if result.promoted else None
    known = {"baseline_rmse": result.baseline, "report_rmse": result.report}
    known |= {"report_rmse_by_output": result.by_output} if result.by_output else {}
    counts = {"trials": result.progress.total, "ended": result.progress.ended}
    event(console, "end", study=result.name, **counts, promoted=promoted, **known)


def event(console: Console, kind: str, **values: object) -> None:
    """Write one JSON line; numbers that are not finite become null."""
    console.file.write(strict_json.dumps({"event": kind} | values) + "\n")
    console.file.flush()
