"""What asking in rounds costs the search: the best value after N trials, for trials asked one by one, as workers are free, and in rounds.

    python benchmarks/rounds.py --seeds 120

The objective is a formula with conditional leaves, as the default search space has them, so that a study takes a second. Its
minimum is 0. Where workers are free, the trial that ends next is drawn at random.
"""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence

import figures
import numpy as np
import optuna

from dfkd_tune.search.optuna_kinds import AutoSampler

TRIALS = (20, 60)
GENERATOR = {"gaussian": 0.6, "adversarial": 0.35, "direct": 0.15, "skewed": 0.0}
BOUND = {"none": 0.4, "clip": 0.2, "target": 0.0}


def value(trial: optuna.Trial) -> float:
    """The objective of a trial, which draws four to eight leaves."""
    kind = trial.suggest_categorical("generator.kind", list(GENERATOR))
    rate = math.log10(trial.suggest_float("optimizer.lr", 1e-4, 1e-2, log=True))
    optimizer = trial.suggest_categorical("optimizer.kind", ["rmsprop", "adam"])
    alpha = trial.suggest_float("alpha.value", 0.1, 0.9)
    found = GENERATOR[kind]
    if kind in ("adversarial", "direct"):
        bound = trial.suggest_categorical("bound.kind", list(BOUND))
        found += BOUND[bound] + 0.05 * abs(trial.suggest_int("generator.steps", 1, 4) - 2)
        if bound != "none":
            found += 0.3 * (math.log10(trial.suggest_float("bound.threshold", 0.02, 2.0, log=True)) + 0.7) ** 2
    if kind == "skewed":
        found += 0.05 + 1.5 * (trial.suggest_float("generator.skew", 0.0, 1.0) - 0.3) ** 2
    best, worse = (-2.7, 0.05) if optimizer == "adam" else (-3.1, 0.0)
    return found + worse + 0.9 * (rate - best) ** 2 + 0.8 * (alpha - 0.55) ** 2


def steady(study: optuna.Study, trials: int, together: int, rng: np.random.Generator) -> None:
    """Ask for a trial whenever one of ``together`` ends."""
    running: list[tuple[optuna.Trial, float]] = []
    asked = 0
    while asked < trials or running:
        while len(running) < together and asked < trials:
            trial = study.ask()
            running.append((trial, value(trial)))
            asked += 1
        study.tell(*running.pop(rng.integers(len(running))))


def rounds(study: optuna.Study, trials: int, together: int, rng: np.random.Generator) -> None:
    """Ask for ``together`` trials at once, when all earlier ones have ended."""
    for first in range(0, trials, together):
        asked = [study.ask() for _ in range(min(together, trials - first))]
        for trial, found in [(trial, value(trial)) for trial in asked]:
            study.tell(trial, found)


WAYS: dict[str, tuple[Callable[..., None], int]] = {
    "one by one": (steady, 1),
    "8 at once, as they are free": (steady, 8),
    "16 at once, as they are free": (steady, 16),
    "rounds of 8": (rounds, 8),
    "rounds of 16": (rounds, 16),
    "rounds of 32": (rounds, 32),
}


def best(way: str, trials: int, seed: int) -> float:
    """The best value of one study."""
    search, together = WAYS[way]
    study = optuna.create_study(sampler=AutoSampler(seed=seed))
    search(study, trials, together, np.random.default_rng(seed))
    return study.best_value


def entries(found: Mapping[str, Sequence[tuple[float, float]]], seeds: int) -> dict[str, figures.Measured]:
    """What is published: mean and standard error of the best value, by way and number of trials."""
    budget = "studies of 20 and 60 trials of a formula with conditional leaves, whose minimum is 0"
    rows = {way: [[mean, error] for mean, error in pairs] for way, pairs in found.items()}
    return {"rounds": figures.Measured([f"0 to {seeds - 1}"], budget, rows, tier="none")}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=120)
    figures.add_option(parser)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    found: dict[str, list[tuple[float, float]]] = {}
    for way in WAYS:
        found[way] = []
        for trials in TRIALS:
            values = [best(way, trials, seed) for seed in range(args.seeds)]
            mean, error = statistics.mean(values), statistics.stdev(values) / args.seeds**0.5
            found[way].append((mean, error))
            print(f"{way:<30} {trials} trials: {mean:.3f} ± {error:.3f}", flush=True)
    if args.publish:
        figures.publish(entries(found, args.seeds))


if __name__ == "__main__":
    main()
