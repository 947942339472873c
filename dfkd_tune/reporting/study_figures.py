"""Figures of a study's trials, made with Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from dfkd_tune.reporting.findings import SPAN, Findings, front
from dfkd_tune.reporting.plot_style import BAR, INK, SOFT, WIDTH, WORST, canvas, colors, label, plain_ticks
from dfkd_tune.reporting.seed_noise import completed
from dfkd_tune.training import metrics as metric

AXES = 8
"""Largest number of leaves in the parallel coordinates."""
COSTS = {metric.PARAMETERS: "parameters of the student", metric.LATENCY: "latency of one row, microseconds"}
"""Cost attribute of a trial -> label of its axis."""
LEAST_RATIO = {metric.PARAMETERS: 1.0, metric.LATENCY: SPAN}
"""Cost attribute -> ratio of sizes above which it is drawn: latencies of students of one size differ only by noise."""


def figures(found: Findings) -> dict[str, Figure]:
    """All figures for which the study has enough trials, by name, in the order of the report."""
    done = completed(found.trials)
    if not done:
        return {}
    drawn = {"history": history(found)}
    for leaf in ("generator.kind", "bound.kind"):
        if any(comparison.leaf == leaf for comparison in found.comparisons):
            drawn[leaf.partition(".")[0]] = choices(found, leaf)
    if sum("bound.threshold" in trial.params for trial in done) > 1:
        drawn["threshold"] = threshold(found)
    for cost, least in (LEAST_RATIO | ({found.costs: 1.0} if found.costs else {})).items():
        sizes = [trial.user_attrs[metric.PARAMETERS] for trial in done if cost in trial.user_attrs]
        if sizes and max(sizes) > least * min(sizes):
            drawn[f"pareto_{cost.partition('_')[0]}"] = pareto(found, cost)
    if found.importances:
        drawn["importance"] = importance(found.importances)
    if len(done) > 1 and len(leaves := _leaves(found)) > 1:
        drawn["parallel"] = parallel(found, leaves)
    return drawn


def history(found: Findings) -> Figure:
    """Objective of every trial in order, and the best so far."""
    figure, (axes,) = canvas()
    draw_history(axes, found)
    _legend(figure)
    return figure


def draw_history(axes: Axes, found: Findings) -> None:
    """The same into given axes, without a legend."""
    done = sorted(completed(found.trials), key=lambda trial: trial.number)
    for kind, color in _kinds(found).items():
        here = [trial for trial in done if _kind(trial) == kind]
        axes.scatter([t.number for t in here], [t.values[0] for t in here], s=22, color=color, label=kind, zorder=3)
    best = np.minimum.accumulate([trial.values[0] for trial in done])
    last = max(trial.number for trial in found.trials)
    axes.step(
        [*(t.number for t in done), last], [*best, best[-1]], where="post", color=INK, lw=1.2, label="best so far"
    )
    gone = [trial.number for trial in found.trials if trial.state == TrialState.PRUNED]
    if gone:
        top = axes.get_xaxis_transform()
        axes.scatter(gone, [0.97] * len(gone), marker="x", s=16, color=SOFT, lw=1, label="pruned", transform=top)
    if found.baseline is not None:
        axes.axhline(found.baseline, color=WORST, lw=1, ls="--", label=_untuned(found))
    axes.set_yscale("log")
    label(axes, "trial", found.objective)
    plain_ticks(axes.yaxis)
    places = axes.xaxis.get_major_locator()
    assert isinstance(places, MaxNLocator)  # the default of a linear axis
    places.set_params(integer=True)


def _untuned(found: Findings) -> str:
    """The untuned baseline, with its steps where trials train fewer."""
    return "untuned baseline" if found.shortened is None else f"untuned baseline, {found.shortened[1]:,} steps"


def choices(found: Findings, leaf: str) -> Figure:
    """Objective of every trial, grouped by one choice; the choice with the best trial comes first."""
    (comparison,) = (each for each in found.comparisons if each.leaf == leaf)
    figure, (axes,) = canvas(height=1.1 + 0.42 * len(comparison.sides))
    draw_choices(axes, found, leaf)
    return figure


def draw_choices(axes: Axes, found: Findings, leaf: str) -> None:
    """The same into given axes."""
    (comparison,) = (each for each in found.comparisons if each.leaf == leaf)
    scatter = np.random.default_rng(0)
    shades = _kinds(found) if leaf == "generator.kind" else colors(_met(found, leaf))
    for place, side in enumerate(comparison.sides):
        values = [t.values[0] for t in completed(found.trials) if str(t.params.get(leaf)) == side.choice]
        heights = place + scatter.uniform(-0.16, 0.16, len(values))
        axes.scatter(values, heights, s=20, color=shades[side.choice], alpha=0.8, lw=0)
        axes.plot([side.best] * 2, [place - 0.3, place + 0.3], color=INK, lw=1.6)
    axes.set_yticks(range(len(comparison.sides)), [f"{s.choice} ({s.trials})" for s in comparison.sides], color=INK)
    axes.set_ylim(len(comparison.sides) - 0.5, -0.5)
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    label(axes, f"{found.objective} (a line at the best)", "", grid="x")


def threshold(found: Findings) -> Figure:
    """Objective against the threshold of the gap bound; a dashed line is the best trial without a bound."""
    figure, (axes,) = canvas()
    done = completed(found.trials)
    for kind, color in colors(_met(found, "bound.kind")).items():
        here = [t for t in done if t.params.get("bound.kind", "bound") == kind and "bound.threshold" in t.params]
        if here:
            at = [t.params["bound.threshold"] for t in here]
            axes.scatter(at, [t.values[0] for t in here], s=24, color=color, label=kind, zorder=3)
    free = [t.values[0] for t in done if t.params.get("bound.kind") == "none"]
    if free:
        axes.axhline(min(free), color=SOFT, lw=1, ls="--", label="best without a bound")
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_ticks(axes.xaxis, axes.yaxis)
    label(axes, "bound.threshold, standard deviations of the teacher", found.objective)
    _legend(figure)
    return figure


def pareto(found: Findings, cost: str) -> Figure:
    """Objective against a student's cost, with the Pareto front."""
    figure, (axes,) = canvas()
    priced = [trial for trial in completed(found.trials) if cost in trial.user_attrs]
    best = front(found.trials, cost)
    axes.scatter(
        [t.user_attrs[cost] for t in priced], [t.values[0] for t in priced], s=16, color=SOFT, alpha=0.45, lw=0
    )
    x, y = [t.user_attrs[cost] for t in best], [t.values[0] for t in best]
    axes.step(x, y, where="post", color=BAR, lw=1.2)
    axes.scatter(x, y, s=26, color=BAR, zorder=3)
    for place, trial in enumerate(best):
        if place in {0, len(best) - 1} or len(best) <= 6:
            axes.annotate(
                f"{trial.number}", (x[place], y[place]), (4, 4), textcoords="offset points", fontsize=8, color=INK
            )
    axes.set_yscale("log")
    if max(t.user_attrs[cost] for t in priced) > 4 * min(t.user_attrs[cost] for t in priced):
        axes.set_xscale("log")
    plain_ticks(axes.xaxis, axes.yaxis)
    label(axes, COSTS[cost], found.objective)
    return figure


def importance(shares: Mapping[str, float]) -> Figure:
    """Importance of each searched leaf for being among the best trials."""
    shown = dict(sorted(shares.items(), key=lambda item: -item[1])[:12])
    figure, (axes,) = canvas(height=0.8 + 0.24 * len(shown))
    axes.barh(list(shown), list(shown.values()), color=BAR, height=0.65)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelcolor=INK, length=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    label(axes, "importance (PED-ANOVA)", "", grid="x")
    return figure


def parallel(found: Findings, leaves: Sequence[str]) -> Figure:
    """Parallel coordinates: each complete trial is a line over the searched leaves, the best the strongest; gaps for missing leaves."""
    figure, (axes,) = canvas(width=2 * WIDTH + 1, height=3.4)
    done = completed(found.trials)
    columns = [_scaled([trial.params.get(leaf) for trial in done]) for leaf in leaves]
    columns.append(_scaled([math.log(max(trial.values[0], 1e-300)) for trial in done]))
    for rank in range(len(done) - 1, -1, -1):
        strength = 1 - rank / max(1, len(done) - 1)
        heights = [column[0][rank] for column in columns]
        style = {"color": BAR if rank else WORST, "alpha": 0.15 + 0.75 * strength**2, "lw": 0.8 + 1.2 * (rank == 0)}
        axes.plot(range(len(columns)), heights, marker="o", ms=2.5, **style)
    ends = (f"{done[-1].values[0]:.3g}", f"{done[0].values[0]:.3g}")
    for place, (_, ticks) in enumerate(columns):
        axes.axvline(place, color=SOFT, lw=0.6)
        words = ticks if place < len(leaves) else {0.0: ends[1], 1.0: ends[0]}
        for height, word in words.items():
            axes.annotate(
                word, (place, height), (4, 0), textcoords="offset points", fontsize=8, va="center", color=SOFT
            )
    names = [_short(leaf) for leaf in leaves]
    axes.set_xticks(range(len(columns)), [*names, found.objective], fontsize=8.5, color=INK)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlim(-0.1, len(columns) - 0.5)
    return figure


def _leaves(found: Findings) -> list[str]:
    """The most important searched leaves that differ between trials, in the order of a recipe."""
    seen: dict[str, set[Any]] = {}
    for trial in completed(found.trials):
        for leaf, value in trial.params.items():
            seen.setdefault(leaf, set()).add(value)
    differ = [leaf for leaf, values in seen.items() if len(values) > 1]
    chief = sorted(differ, key=lambda leaf: -found.importances.get(leaf, 0.0))[:AXES]
    return [leaf for leaf in differ if leaf in chief]


def _scaled(values: Sequence[object]) -> tuple[list[float], dict[float, str]]:
    """Values scaled to 0..1 (logarithmic if they span decades, NaN if missing), and labels for some positions."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, str | bool) for value in known):
        kinds = list(dict.fromkeys(map(str, known)))
        at = {kind: (i + 0.5) / len(kinds) for i, kind in enumerate(kinds)}
        return [at.get(str(v), math.nan) for v in values], {height: kind for kind, height in at.items()}
    numbers = [value if isinstance(value, int | float) else math.nan for value in values]
    low, high = (end(value for value in numbers if not math.isnan(value)) for end in (min, max))
    by = math.log if low > 0 and high > 10 * low else float
    span = by(high) - by(low) or 1.0
    heights = [(by(value) - by(low)) / span for value in numbers]
    return heights, {0.0: _number(low), 1.0: _number(high)}


def _short(leaf: str) -> str:
    section, _, field = leaf.partition("@")[0].partition(".")
    return section if field == "kind" else f"{section}\n{field}"


def _kind(trial: FrozenTrial) -> str:
    return str(trial.params.get("generator.kind", "trial"))


def _kinds(found: Findings) -> dict[str, str]:
    return colors(_met(found, "generator.kind", "trial"))


def _met(found: Findings, leaf: str, other: str = "bound") -> list[str]:
    """The choices of a leaf in the study's trials."""
    for trial in found.trials:
        if isinstance(domain := trial.distributions.get(leaf), CategoricalDistribution):
            return [str(choice) for choice in domain.choices]
    return [other]


def _legend(figure: Figure) -> None:
    figure.legend(
        loc="outside upper left", ncols=3, frameon=False, labelcolor=INK, handletextpad=0.4, columnspacing=1.2
    )


def _number(value: float) -> str:
    """A number with three digits, or with all that stand before its point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
