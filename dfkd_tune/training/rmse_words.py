"""How an RMSE and a gap are told: in the teacher's units and over the standard deviation of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MOST_OUTPUTS = 8
"""Largest number of outputs whose RMSE is told."""


class OutputRMSE(NamedTuple):
    """The RMSE of one output: in the teacher's units, and over the standard deviation of that output."""

    rmse: float
    relative: float


def of_outputs(certificate: Mapping[str, Any]) -> dict[str, OutputRMSE]:
    """Output name -> its RMSE on the report bank, from the content of ``certificate.json``; empty for one output."""
    parts = certificate["report"]["by_output"]
    return {each["name"]: OutputRMSE(each["rmse"], each["relative_rmse"]) for each in parts} if len(parts) > 1 else {}


def rmse_in_words(rmse: float, relative: float, outputs: int) -> str:
    """The RMSE and the relative RMSE, in which a large output does not hide a small one."""
    return f"{rmse:.4g}, {share_in_words(relative, outputs)}"


def share_in_words(relative: float, outputs: int) -> str:
    """The relative RMSE."""
    return f"{100 * relative:.3g} % of the standard deviation" + (" over all outputs" if outputs > 1 else "")


def gap_in_words(gap: float, relative: float, output: str, outputs: int) -> str:
    """The worst gap with what it takes to read it: which output it is of, and its size over that output's spread."""
    share = f"{100 * relative:.3g} % of the standard deviation"
    return f"{gap:.4g}, {share}" + (f" of output {output}" if outputs > 1 else "")


def outputs_in_words(by_output: Mapping[str, Sequence[float]]) -> str:
    """The RMSE of each output; of many, those with the largest share of their standard deviation.

    Args:
        by_output: name -> values of ``OutputRMSE``, in the order of the outputs.
    """
    shown = by_output
    if len(by_output) > MOST_OUTPUTS:
        worst = sorted(by_output, key=lambda name: -by_output[name][1])[:MOST_OUTPUTS]
        shown = {name: by_output[name] for name in worst}
    said = [
        f"{name} {rmse:.4g}, {100 * relative:.3g} % of its standard deviation"
        for name, (rmse, relative) in shown.items()
    ]
    rest = len(by_output) - len(shown)
    return "; ".join(said) + (f"; at most as much of the {rest:,} others" if rest else "")
