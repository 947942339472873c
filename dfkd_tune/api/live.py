"""The live view of a study: in a notebook a table that renews itself, in a terminal the command line's."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from dfkd_tune.reporting.terminal_progress import view, watch
from dfkd_tune.search.progress import Progress

EVERY_S = 0.5
"""Shortest time between two views in a notebook, in seconds."""
WIDTH = 110


@contextmanager
def watching(name: str, shown: bool) -> Iterator[Callable[[Progress], None]]:
    """A callback that shows the progress of a study until the block ends; nothing is shown where nobody looks."""
    shell = _notebook() if shown else None
    if shell is not None:
        yield _Cell(name, shell)
        return
    console = Console(file=sys.stdout)
    with watch(console, name, "live" if shown and console.is_terminal else "quiet") as tell:
        yield tell


class _Cell:
    """The output of one notebook cell."""

    def __init__(self, name: str, display: Any) -> None:
        self.name, self.display, self.handle, self.last = name, display, None, 0.0

    def __call__(self, progress: Progress) -> None:
        over = progress.ended == progress.total
        if not over and time.monotonic() - self.last < EVERY_S:
            return
        self.last = time.monotonic()
        page = self.display.HTML(as_html(self.name, progress))
        if self.handle is None:
            self.handle = self.display.display(page, display_id=True)
        else:
            self.handle.update(page)


def as_html(name: str, progress: Progress) -> str:
    """The live view as HTML that needs no style sheet."""
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, force_jupyter=False)
    console.print(view(name, progress))
    return console.export_html(inline_styles=True, code_format="<pre style='line-height:1.3'>{code}</pre>")


def _notebook() -> Any:
    """``IPython.display`` in a notebook; None elsewhere. IPython is there if it runs this process."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from importlib import import_module

    return import_module("IPython.display")
