"""What every benchmark would publish after a run of made-up numbers."""

import argparse
import importlib
from itertools import product

import figures
import numpy as np
import pytest

DATASETS = ("compactiv", "cpusmall", "mv", "pole", "puma32h")
PUBLISHED = {name: {"random": 0.06, "direct_decreasing": 0.05} for name in DATASETS}


def studies(width: int, tier: str) -> dict:
    """A run of ``fidelity.py``, two seeds."""
    rows = [
        {"dataset": name, "seed": seed, "tier": "T0" if tier == "none" else "T4", "paper": 0.1, "best": best}
        | {"regret": 0.25, "correlation": 0.5, "trials": [{"real": 0.02}]}
        for name in DATASETS
        for seed, best in enumerate((0.02, 0.03))
    ]
    given = argparse.Namespace(tier=tier, width=width, seeds=[0, 1], trials=3, steps=1_000)
    return importlib.import_module("fidelity").entries(rows, PUBLISHED, given)


def ablation(width: int, *tiers: str, only: str = "VARIANTS") -> dict:
    ablation = importlib.import_module("ablation")
    variants = getattr(ablation, only)
    rows = [
        {"dataset": name, "variant": variant, "tier": tier, "seed": seed, "ratio": 0.5 + seed / 10, "prior": 0.1}
        for name in DATASETS
        for variant in (variants if only == "VARIANTS" else variants.values())
        for tier in tiers
        for seed in (0, 1)
    ]
    return ablation.entries(rows, argparse.Namespace(width=width, tiers=[*tiers], seeds=[0, 1], steps=1_000))


def choosing() -> dict:
    module = importlib.import_module("choosing")
    found = {rule: {name: (0.9, 0.1) for name in DATASETS} for rule in (module.ROBUST, module.GROWN)}
    given = [argparse.Namespace(seed=0, students=4, steps=1_000, space=space) for space in ("wide", "default")]
    return module.entries(found, given[0]) | module.entries(found, given[1])


def constants() -> dict:
    """Of two settings, the second is better for all tables but the first one, for which the others choose it all the same."""
    module = importlib.import_module("privacy_constants")
    names = [module.SHIPPED, *(words for words, *_ in module.settings())]
    ratios = [dict.fromkeys(names, 0.5) | {names[1]: 0.9 if table == DATASETS[0] else 0.4} for table in DATASETS]
    found = {f"{table}|{seed}": each for table, each in zip(DATASETS, ratios, strict=True) for seed in (0, 1)}
    assert module.rows_of(*module.table_of(found))[module.CHOSEN][0] == pytest.approx(0.9)
    return module.entries(found, argparse.Namespace(seeds=[0, 1], steps=1_000))


def inversion() -> dict:
    """Every other recipe has half the error of the reference."""
    module = importlib.import_module("inversion")
    names = [f"{name}, {prior}" for prior in module.PRIORS for name in module.VARIANTS]
    found = {f"{table}|{seed}": dict.fromkeys(names, 0.2) | {names[0]: 0.4} for table in DATASETS for seed in (0, 1)}
    assert module.rows_of(found)[names[1]] == [pytest.approx([0.5, 0.0])] * (len(DATASETS) + 1)
    return module.entries(found, argparse.Namespace(seeds=[0, 1], steps=1_000))


def evidence() -> dict:
    """Two recipes: the better objective has the worse student on real rows."""
    module = importlib.import_module("evidence")
    told = [(0, "trial-0000", 0.1, 0.3), (0, "rerun-0000-1", 0.12, 0.2), (1, "trial-0001", 0.2, 0.1)]
    found = [dict(zip(("recipe", "name", "objective", "real"), one, strict=True)) for one in told]
    assert module.regrets(found).keys() == module.RULES.keys()
    assert module.regrets(found)["the best trial"] == pytest.approx(200.0)
    given = argparse.Namespace(seeds=[0], trials=3, steps=1_000)
    return module.entries({f"{name}|0": found for name in DATASETS}, given)


def teachers() -> dict:
    module = importlib.import_module("teachers")
    rows = [
        {"kind": kind, "dataset": name, "seed": seed, "ratio": ratio, "baseline": 0.2, "best_trial_in_hindsight": 0.1}
        for kind in module.TEACHER_DEFAULTS
        for name in ("compactiv", "pole")
        for seed, ratio in enumerate((0.4, 0.6))
    ]
    given = argparse.Namespace(seeds=[0, 1], trials=3, steps=1_000, datasets=["compactiv", "pole"])
    return module.entries(rows, given)


def paper() -> dict:
    module = importlib.import_module("paper")
    cells = {method: {"mean": 0.1 * (i + 1), "std": 0.01} for i, method in enumerate(module.COLUMNS)}
    published = {str(width): {name: cells for name in DATASETS} for width in (25, 50)}
    rows = [
        {"width": width, "dataset": name, "method": method, "seed": seed, "rmse_labels": cells[method]["mean"] + away}
        for width in (25, 50)
        for name in DATASETS
        for method in module.COLUMNS
        for seed, away in ((1, 0.001), (2, 0.1 if (width, name, method) == (25, "mv", "random") else 0.002))
    ]
    return module.entries(rows, published, argparse.Namespace(checkpoints=400))


def speed() -> dict:
    module = importlib.import_module("speed_figures")
    loops = [{"loop": "plain", "seconds": 6.66, "faster": None}]
    loops += [{"loop": f"K = {k}", "seconds": 0.31, "faster": 21.5} for k in (1, 4, 8, 16)]
    step = {
        "step": 1e-4,
        "ratio": 2.0,
        "floor_seconds": 5e-5,
        "floor_flops": 2e6,
        "floor_activations": 6,
        "floor_bytes": 1e6,
    }
    found = {
        "trial": [{"method": method} | loop for method in module.METHODS for loop in loops],
        "floor": [{"members": k} | step for k in (1, 4, 8, 16)],
        "study": {
            "faster": 12.0,
            "rounds": [{"faster": 12.0} | {who: {"seconds": 40, "best": 0.01} for who in ("handwritten", "own")}],
        },
        "quickstart": {"seconds": 56.2, "peak_bytes": 1.5e9},
        "overhead": {
            "trials": 200,
            "own_milliseconds": 270.0,
            "parts": {part: {"milliseconds": 20.0, "share": 0.07} for part, _ in module.PARTS.values()},
        },
    }
    shipped = importlib.import_module("commands")
    ratio = {"processor": 1.2, "clock": 1.1}
    found |= {"looking": dict.fromkeys(shipped.LOOKING, ratio), "avx2": {"members": 8, "ratio": 2.3}}
    found |= {"seeded": dict.fromkeys(("without a seed", "with a seed"), ratio)}
    found |= {"processes": dict.fromkeys(map(str, shipped.PROCESSES), ratio)}
    given = argparse.Namespace(
        parts=[*found, "growth"], dataset="cpusmall", trials=40, study_steps=20_000, command_trials=8, steps=2_000
    )
    return module.entries(found, given)


RATIOS = {"pytorch": 10.0, "onnxruntime": 2.0, "teacher": 50.0}


def rest() -> dict:
    """What is left: a benchmark of one entry each."""
    two = argparse.Namespace(seeds=[0, 1], steps=1_000, seed=0, trials=3, milliseconds=1.0, rate=4.0, rounds=5)
    two.optimizer, two.lr, two.alpha = "adam", 0.003, "constant"
    by_seed = [("random", 0), ("random", 1), ("adversarial", 0), ("adversarial", 1), ("direct", 0), ("direct", 1)]
    digits = [{"method": name, "seed": seed, "rmse_teacher": 1.5, "seconds": 9.0} for name, seed in by_seed]
    protein = [{"inputs": "shares", "method": name, "labels": [0.1, 0.2]} for name in ("random", "evolution")]
    reached = [{"paper": 9.0, "paper_reached": there, "faithful": 0.2, "sooner": 45.0} for there in (True, False)]
    asked = {"first session": 10, "second session": 1, "best nrmse": 0.05}
    bounds = [("none", None, 1.0), ("target", 0.4, 0.7), ("target", 1.0, 0.8), ("clip", 0.1, 0.9)]
    swept = [
        {"dataset": name, "reach": "steps", "bound": bound, "threshold": threshold, "real": real}
        for name in ("compactiv", "pole")
        for bound, threshold, real in bounds
    ]
    asked_rows = {f"trees, pole|ours|{total}|0": {"rows": total, "real": 0.2} for total in (500, 0)}
    ratios = np.outer([0.4, 0.44, 0.5], np.ones(2 * len(DATASETS))).reshape(3, len(DATASETS), 2)
    priced = argparse.Namespace(
        trials=8, steps=3_000, seeds=[0], totals=[500, 1_000, 2_000, 4_000, 5_000, 10_000, 50_000], plain=[20_000]
    )
    typed = importlib.import_module("served").TYPED
    claims = importlib.import_module("claims")
    timed = {case: dict.fromkeys(("claim", "tell", "p95", "used", "join"), 12.0) for case in claims.TITLES}
    of = importlib.import_module
    step = {"loop": 2_000.0, "own": 250.0, "faster": 8.0}
    bounded = step | {"floor": 125.0, "above": 2.0, "most": 16.0}
    deep = {name: bounded if kind.forward else step for name, kind in of("deep").KINDS.items()}
    knowledge = of("knowledge")
    gained = [
        {"dataset": name, "share": share, "low": -0.1, "high": 0.5, "measured": share + 0.1, "teacher_rows": 5_000}
        for name in (*DATASETS, *knowledge.NEW)
        for share in (0.1, 0.2, 0.3)
    ]
    leaving = figures.load()
    left = {
        key: of("leaving").measured(leaving[key]["rows"], RATIOS if "values" in leaving[key] else {}, "4 trials")
        for key in leaving.keys() & of("leaving").STUDIES.keys()
    }
    few = {f"{cell}, 0": dict.fromkeys((*of("few_rows").WAYS, of("few_rows").SLOPES), 0.4) for cell in "abc"}
    rated = {
        f"{', '.join(cell)}, 2000": {"0.003": 0.2, "0.01": 0.1, "0.02": 0.1}
        for cells in of("rates").GROUPS.values()
        for cell in cells
    }
    ranks = {f"{rows}, {weight}": [0.5, 0.1] for rows in of("stress_rows").ROWS for weight in of("stress_rows").WEIGHTS}
    return (
        left
        | of("stress_rows").entries({"a": ranks}, argparse.Namespace(seed=0, students=14, steps=1_000))
        | of("rates").entries(rated, argparse.Namespace(rates=[0.003, 0.01, 0.02], steps=2_000))
        | of("digits").entries(digits, two)
        | of("protein").entries(protein, two)
        | of("sooner").entries(reached, two)
        | of("slow_teacher").entries([{"budget": budget} | asked for budget in (0, 4_000)], two)
        | of("threshold").entries(swept, two)
        | of("served").entries([{"line": line, "keys": 3, "seconds": 2.0} for line in typed])
        | of("rounds").entries({way: [(0.2, 0.01), (0.1, 0.01)] for way in of("rounds").WAYS}, 120)
        | claims.entries(timed, {0: 30.0}, two)
        | of("deep").entries(deep, two)
        | knowledge.entries(gained, two)
        | of("queries").entries(asked_rows, priced)
        | of("few_rows").entries(few, argparse.Namespace(seeds=[0], steps=1_000, cells=[*"abc"]))
        | constants()
        | inversion()
        | of("privacy").entries(ratios, argparse.Namespace(epsilon=1.0, widths=[1.5, 3.0], seeds=[0, 1], steps=500))
        | of("evaluated").entries({name: (0.1, 0.1) for name in of("fidelity").DATASETS})
        | {"first_study": of("quick").measured("trial 1\nPromoted", 20)}
    )


def windows() -> dict:
    module = importlib.import_module("windows")
    given = argparse.Namespace(students=["gru"], steps=1_500, parameters=1_000, seed=0)
    about = {"student": "gru", "plain": False, "reference": 0.1, "ratio": 0.5}
    pairs = [*product(module.SOURCES, module.KINDS)]
    rows = [about | {"series": s, "teacher": t, "prior": prior} for s, t in pairs for prior in module.PRIORS]
    return module.entries(rows, given)


def forms() -> dict:
    """Teachers of every form, and the students of the digits."""
    matrix, digits = importlib.import_module("matrix"), importlib.import_module("digits_students")
    about = {"lines": "nothing", "ratio": 0.5, "rmse": 0.1, "pt2": "yes", "ONNX": "yes", "served": "no"}
    given = argparse.Namespace(trials=20, steps=1_000, parameters=1_000, seed=0, seeds=[0, 1])
    pairs = product(digits.TEACHERS, digits.KINDS)
    errors = {pair: dict.fromkeys(digits.PRIORS, 1.5) for pair in pairs}
    return matrix.entries([about | {"teacher": name} for name in matrix.CASES], given) | digits.entries(errors, given)


def every_run() -> dict:
    """What every benchmark would publish after a run of made-up numbers."""
    full = studies(50, "none") | studies(50, "correlation") | studies(50, "mixture") | studies(50, "private")
    full |= studies(25, "none")
    small = ablation(50, "none") | ablation(25, "none") | ablation(50, "none", "quantiles", "correlation", "mixture")
    small |= ablation(50, "none", only="RECENT") | ablation(25, "none", only="SMALL")
    small |= (
        ablation(25, "none", only="PRESETS")
        | ablation(50, "none", only="PRESETS")
        | ablation(100, "none", only="PRESETS")
    )
    return full | small | choosing() | evidence() | teachers() | paper() | speed() | windows() | forms() | rest()
