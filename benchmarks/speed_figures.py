"""What ``speed.py --publish`` writes: the entries of the parts that ran, from what they returned."""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from figures import Measured

from dfkd_tune.utils import hardware

Found = dict[str, Any]
METHODS = ("random", "adversarial", "paper")
PARTS = {
    "Optuna": ("optuna", "the thread that trains"),
    "MLflow": ("mlflow", "its own"),
    "records on disk": ("records on disk", "the thread that trains"),
}
"""Row of the overhead -> its part in ``overhead.py``, and the thread that pays for it."""
COMPARED = ("seeded", "beside", "processes", "before")
"""Parts that compare a study, as a whole command, with another one."""


def entries(found: Found, args: argparse.Namespace) -> dict[str, Measured]:
    """The entries of the parts that ran; growth is published as a picture.

    Args:
        found: part -> what its function in ``speed.py`` returned.
        args: members, trials, steps and dataset.
    """
    makers = {"trial": trial, "floor": floor, "study": study, "quickstart": quickstart, "overhead": overhead}
    makers |= {"looking": looking, "avx2": avx2}
    made = [makers[part](found[part], args) for part in args.parts if part in makers]
    if compared := {part: found[part] for part in COMPARED if part in args.parts}:
        made.append(commands(compared, args))
    return {name: entry for part in made for name, entry in part.items()}


def trial(found: list[Found], args: argparse.Namespace) -> dict[str, Measured]:
    rows = {}
    for method in METHODS:
        loops = {each["loop"]: each for each in found if each["method"] == method}
        beside = [f"{_two(loops[k]['seconds'])} ({loops[k]['faster']:.1f})" for k in loops if k != "plain"]
        rows[f"`{method}`"] = [_two(loops["plain"]["seconds"]), *beside]
    return _one("trial_seconds", f"a trial of 20,000 steps on {args.dataset}", rows)


def floor(found: list[Found], args: argparse.Namespace) -> dict[str, Measured]:
    rows = {}
    for each in found:
        name = "1 trial at a time" if each["members"] == 1 else f"{each['members']} at a time"
        rows[name] = [f"{1e6 * each['floor_seconds']:.0f}", f"{1e6 * each['step']:.0f}", _two(each["ratio"])]
    last = found[-1]
    values = {
        "megaflop": round(last["floor_flops"] / 1e6, 2),
        "activations": f"{last['floor_activations']:,}",
        "megabytes": round(last["floor_bytes"] / 1e6, 2),
    }
    return _one("floor", "a trial of 20,000 steps", rows, values)


def study(found: Found, args: argparse.Namespace) -> dict[str, Measured]:
    rounds = found["rounds"]
    by_hand, own = ([each[who] for each in rounds] for who in ("handwritten", "own"))
    rows = {
        "dfkd-tune": _whole(own),
        "plain Optuna and MLflow (`handwritten.py`)": _whole(by_hand),
    }
    values = {
        "ratio": round(found["faster"], 1),
        "ratio_by_round": ", ".join(f"{each['faster']:.1f}" for each in rounds),
    }
    return _one(
        "handwritten",
        f"{args.trials} trials, finished students of {args.study_steps:,} steps",
        rows,
        values,
        [*range(len(rounds))],
    )


def quickstart(found: Found, args: argparse.Namespace) -> dict[str, Measured]:
    values = {"seconds": round(found["seconds"]), "gigabytes": round(found["peak_bytes"] / 1e9, 2)}
    return _one("quickstart", "200 trials, finished students of 6,000 steps, two processes", values=values)


def overhead(found: Found, args: argparse.Namespace) -> dict[str, Measured]:
    rows = {
        name: [f"{found['parts'][part]['milliseconds']:.0f}", f"{100 * found['parts'][part]['share']:.0f}", thread]
        for name, (part, thread) in PARTS.items()
    }
    values = {"own_milliseconds": round(found["own_milliseconds"])}
    return _one("overhead", f"the quickstart of {found['trials']} trials, one process", rows, values)


def looking(found: Found, args: argparse.Namespace) -> dict[str, Measured]:
    rows = {name: [_two(each["processor"])] for name, each in found.items()}
    return _one("looking", f"a study of {args.command_trials} trials", rows)


def commands(found: Found, args: argparse.Namespace) -> dict[str, Measured]:
    """One row for each work that was compared with another; which there are depends on the parts that ran."""
    rows = {}
    for part, ratios in found.items():
        first, *others = ratios
        for name in others:
            row = f"{name}, over {first}" if part != "processes" else f"on {name} processes, over one"
            rows[row] = [_two(ratios[name]["processor"]), _two(ratios[name]["clock"])]
    budget = f"the quickstart of {args.command_trials} trials"
    return {"commands": Measured((0,), budget, rows, machine=hardware.name(), open_rows=True)}


def avx2(found: Found, args: argparse.Namespace) -> dict[str, Measured]:
    values = {"ratio": round(found["ratio"], 1)}
    return _one("avx2", f"a trial of {args.steps:,} steps, {found['members']} at a time", values=values)


def _one(
    key: str, budget: str, rows: Found | None = None, values: Found | None = None, seeds: Any = (0,)
) -> dict[str, Measured]:
    return {key: Measured(seeds, budget, rows or {}, values or {}, machine=hardware.name())}


def _whole(studies: list[Found]) -> list[str]:
    """Median seconds, and the range of the best errors."""
    best = sorted({f"{each['best']:.3f}" for each in studies})
    return [f"{median(each['seconds'] for each in studies):.0f}", " to ".join(dict.fromkeys((best[0], best[-1])))]


def _two(value: float) -> str:
    """A number to two digits, or to one decimal."""
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"
