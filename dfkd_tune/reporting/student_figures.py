"""Figures of a student: outputs and residuals, synthetic inputs, training curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dfkd_tune.reporting.plot_style import BAR, INK, PALETTE, SOFT, WORST, canvas, label, plain_ticks

MARGINALS = 11
"""Largest number of features whose marginals are shown: those that the synthetic inputs changed most."""
DOTS, FEWER = 2_000, 800
"""Largest number of rows in a figure of one student, and in a figure of several."""


def parity(teacher: Tensor, student: Tensor, names: Sequence[str]) -> Figure:
    """Student outputs against teacher outputs, ``(N, O)`` each, with the diagonal of a perfect student and their names."""
    figure, (axes,) = canvas(width=3.9, height=3.6)
    draw_parity(axes, teacher, student, names)
    if teacher.shape[1] > 1:
        figure.legend(loc="outside upper left", ncols=4, frameon=False, labelcolor=INK)
    return figure


def draw_parity(axes: Axes, teacher: Tensor, student: Tensor, names: Sequence[str]) -> None:
    """The same into given axes, without a legend."""
    for o in range(min(teacher.shape[1], len(PALETTE))):
        one = {
            "s": 5,
            "alpha": 0.35,
            "lw": 0,
            "color": PALETTE[o],
            "label": f"output {names[o]}"[:40].replace("$", r"\$"),
        }
        axes.scatter(teacher[:DOTS, o], student[:DOTS, o], **one)
    low, high = float(teacher.min()), float(teacher.max())
    axes.plot([low, high], [low, high], color=INK, lw=0.8)
    label(axes, "teacher", "student", grid="both")


def residuals(teacher: Tensor, student: Tensor) -> Figure:
    """Residuals (student minus teacher) against teacher outputs, in standard deviations of each output, and their distribution."""
    spread = teacher.std(0).clamp(min=1e-12)
    gap, at = (student - teacher) / spread, (teacher - teacher.mean(0)) / spread
    figure, (axes, side) = canvas(columns=2)
    for o in range(min(teacher.shape[1], len(PALETTE))):
        axes.scatter(at[:DOTS, o], gap[:DOTS, o], s=5, alpha=0.35, lw=0, color=PALETTE[o])
    axes.axhline(0, color=INK, lw=0.8)
    label(axes, "teacher, standardized", "student − teacher, std. dev.", grid="both")
    side.hist(gap.flatten().numpy(), bins=60, color=BAR, orientation="horizontal")
    side.sharey(axes)
    side.tick_params(labelleft=False)
    label(side, "rows", "", grid="both")
    return figure


def leaders(students: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Several students side by side on one scale: outputs against the teacher's above, residuals below.

    Args:
        students: name -> teacher outputs and student outputs, ``(N, O)`` each.
    """
    figure, axes = canvas(width=2.9 * len(students) + 0.4, height=4.6, rows=2, columns=len(students))
    above, below = axes[: len(students)], axes[len(students) :]
    for top, left, (name, (teacher, student)) in zip(above, below, students.items(), strict=True):
        spread = teacher.std(0).clamp(min=1e-12)
        at, gap = (teacher - teacher.mean(0)) / spread, (student - teacher) / spread
        for o in range(min(teacher.shape[1], len(PALETTE))):
            dots = {"s": 4, "alpha": 0.35, "lw": 0, "color": PALETTE[o]}
            top.scatter(at[:FEWER, o], (at + gap)[:FEWER, o], **dots)
            left.scatter(at[:FEWER, o], gap[:FEWER, o], **dots)
        top.axline((0, 0), slope=1, color=INK, lw=0.8)
        left.axhline(0, color=INK, lw=0.8)
        top.set_title(f"{name}: {float(gap.square().mean().sqrt()):.3g} std. dev.")
        label(top, "", "student" if top is above[0] else "", grid="both")
        label(left, "teacher, standardized", "student − teacher" if left is below[0] else "", grid="both")
        top.sharey(above[0])
        left.sharey(below[0])
    return figure


def training(curve: Sequence[tuple[int, float]], unit: str = "RMSE on the pruning bank") -> Figure:
    """The RMSE during training, from points ``(step, rmse)``."""
    figure, (axes,) = canvas()
    steps, gaps = zip(*((s, v) for s, v in curve if math.isfinite(v) and v > 0), strict=True)
    axes.plot(steps, gaps, color=BAR, marker="o", ms=3)
    axes.set_xscale(
        "log" if 0 < 10 * steps[0] < steps[-1] else "linear"
    )  # a refiner may use most of the budget in one step
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    label(axes, "student steps, the last after its finish", unit)
    return figure


def synthetic(declared: Tensor, made: Tensor, names: Sequence[str]) -> Figure:
    """Synthetic rows and prior rows: a projection of both, and marginals of the features that differ most.

    Args:
        declared: standardized prior rows ``(N, D)``; a missing number is NaN, and left out of its marginal.
        made: standardized synthetic rows ``(M, D)``.
        names: names of the features.
    """
    order: list[int] = _moved(declared, made).argsort(descending=True)[:MARGINALS].tolist()
    plots = 1 + len(order)
    columns = min(4, plots)
    figure, axes = canvas(
        width=2.3 * columns,
        height=2.0 * math.ceil(plots / columns) + 0.3,
        rows=math.ceil(plots / columns),
        columns=columns,
    )
    whole = declared.nan_to_num(0.0), made.nan_to_num(0.0)  # a missing number counts as the center
    middle = whole[0].mean(0)
    # Principal components of both together, so that large differences show.
    _, _, right = torch.linalg.svd(torch.cat([rows - middle for rows in whole]), full_matrices=False)
    plane = right[:2].T
    for rows, color, word in ((whole[0], SOFT, "declared"), (whole[1], WORST, "synthetic")):
        flat = (rows - middle) @ plane
        second = flat[:, 1] if flat.shape[1] > 1 else torch.zeros(len(flat))
        axes[0].scatter(flat[:DOTS, 0], second[:DOTS], s=5, alpha=0.4, lw=0, color=color, label=word)
    axes[0].set_title("projection (PCA)")
    for place, i in zip(axes[1:], order, strict=False):
        both = torch.cat([declared[:, i], made[:, i]])
        both = both[~both.isnan()]
        place.set_title(names[i][:22], parse_math=False)  # a name may hold a $
        if not len(both):  # the value is missing in every row
            continue
        ends = (float(both.min()), float(both.max()) + 1e-9)
        for rows, color in ((declared, SOFT), (made, WORST)):
            style = {"histtype": "stepfilled", "color": color, "alpha": 0.5, "density": True}
            there = rows[~rows[:, i].isnan(), i]
            place.hist(there.numpy(), bins=30, range=ends, **style)
    for place in axes:
        place.tick_params(labelleft=False, left=False, labelsize=7.5)
    for place in axes[plots:]:
        place.set_visible(False)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, labelcolor=INK, markerscale=2.5)
    return figure


def _moved(declared: Tensor, made: Tensor) -> Tensor:
    """Distance ``(D,)`` between the two marginals of each feature: the mean difference of their quantiles."""
    levels = torch.linspace(0.02, 0.98, 25, dtype=declared.dtype)
    return (declared.nanquantile(levels, dim=0) - made.nanquantile(levels, dim=0)).abs().mean(0).nan_to_num(0.0)
