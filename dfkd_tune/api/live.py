"""The live view of a call: in a notebook a table that renews itself, in a terminal the command line's."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from rich.console import Console

from dfkd_tune.reporting.terminal_progress import OnProgress, view, watch
from dfkd_tune.reporting.waiting import announce_waits
from dfkd_tune.search.progress import Progress

EVERY_S = 0.5
"""Shortest time between two views in a notebook, in seconds."""
WIDTH = 110
"""Width of a view in a notebook, in characters."""


class View:
    """What a person sees of a call: nothing, a terminal, or one output of a notebook's cell."""

    def __init__(self, shown: bool) -> None:
        self.shown = shown

    @staticmethod
    @contextmanager
    def opened(shown: bool = True) -> Iterator[View]:
        """A view until the block ends, which also says if the teacher makes one wait: on standard error, or in the cell."""
        if not shown:
            yield View(False)
            return
        display = _notebook()
        view = View(True) if display is None else _Cell(display)
        try:
            with announce_waits(view.waits):
                yield view
        finally:
            view.end()

    def waits(self, line: str) -> None:
        """Say that the teacher makes one wait."""
        print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take away what does not hold once the call is over."""

    @contextmanager
    def watching(self, name: str) -> Iterator[OnProgress]:
        """A callback that shows the progress of a study until the block ends; nothing is shown where nobody looks."""
        console = Console(file=sys.stdout)
        with watch(console, name, "live" if self.shown and console.is_terminal else "quiet") as tell:
            yield tell


class _Cell(View):
    """The output of one notebook cell; there is none until there is something to show."""

    def __init__(self, display: Any) -> None:
        super().__init__(True)
        self.display, self.handle, self.last = display, None, 0.0
        self.table, self.line = "", ""
        self.begun = time.monotonic()
        self.lock = threading.Lock()

    def waits(self, line: str) -> None:
        self._show(self.table, f"<p>{escape(line)}</p>")

    def end(self) -> None:
        if self.line:  # an output cannot be taken back, so it says something that holds
            seconds = time.monotonic() - self.begun
            self._show(self.table or f"<p>a slow teacher: this call took {seconds:.0f} s</p>")

    @contextmanager
    def watching(self, name: str) -> Iterator[OnProgress]:
        def show(progress: Progress) -> None:
            over = progress.ended == progress.total
            if not over and not self.line and time.monotonic() - self.last < EVERY_S:
                return
            self.last = time.monotonic()
            self._show(as_html(name, progress))

        yield show

    def _show(self, table: str, line: str = "") -> None:
        with self.lock:
            self.table, self.line = table, line
            page = self.display.HTML(table + line)
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
