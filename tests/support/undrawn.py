"""Figures as empty files, for tests of what is recorded, lost and made again: drawing is a third of a tiny study."""

from collections.abc import Callable

import pytest

SUMMARY = "dfkd_tune.reporting.mlflow_summary"


class Blank:
    """Stands for ``student_figures``: each of its figures is None."""

    def __getattr__(self, name: str) -> Callable:
        return lambda *given: None


def leave_blank(patch: pytest.MonkeyPatch) -> None:
    """Draw nothing from now on in this process."""
    patch.setattr(f"{SUMMARY}.png", lambda figure: b"")
    patch.setattr(f"{SUMMARY}.figures", lambda found: {"history": None})
    patch.setattr(f"{SUMMARY}.student_figures", Blank())


def draw(patch: pytest.MonkeyPatch) -> None:
    """Draw, also where ``leave_blank`` was called before."""
    from dfkd_tune.reporting import plot_style, student_figures, study_figures

    patch.setattr(f"{SUMMARY}.png", plot_style.png)
    patch.setattr(f"{SUMMARY}.figures", study_figures.figures)
    patch.setattr(f"{SUMMARY}.student_figures", student_figures)
