"""Figures that a command printed."""

import re

import pytest

pytestmark = pytest.mark.usefixtures("undrawn")


def measured(words: str, text: str) -> float:
    """The figure that a command printed."""
    return float(re.search(words, text)[1])


def near(rmse: float):
    """A figure on other rows than those of the bank."""
    return pytest.approx(rmse, rel=0.15)
