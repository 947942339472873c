"""The sampler and the pruner of a study, by name with their own options."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from dfkd_tune.errors import SpecError
from dfkd_tune.training.rungs import RUNGS
from dfkd_tune.utils.plugins import Registry
from dfkd_tune.utils.quoting import named, quoted

AUTO = "auto"
"""The sampler and the pruner that this package chose, by measurement."""
WARMUP = RUNGS // 4
"""Number of rungs before ``auto`` prunes."""


class AutoSampler(optuna.samplers.TPESampler):
    """A multivariate TPE sampler for conditional spaces, which accounts for running trials."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(multivariate=True, group=True, constant_liar=True, n_startup_trials=10, seed=seed)


class AutoPruner(optuna.pruners.PercentilePruner):
    """A pruner that stops the worst quarter at a rung, after ten trials; stricter ones stopped the best trial."""

    def __init__(self) -> None:
        super().__init__(75.0, n_startup_trials=10, n_warmup_steps=WARMUP, interval_steps=1, n_min_trials=5)


SAMPLERS: Registry[type[BaseSampler]] = Registry(
    "samplers",
    BaseSampler,
    {
        AUTO: AutoSampler,
        "tpe": optuna.samplers.TPESampler,
        "gp": optuna.samplers.GPSampler,
        "cmaes": optuna.samplers.CmaEsSampler,
        "qmc": optuna.samplers.QMCSampler,
        "random": optuna.samplers.RandomSampler,
        "nsgaii": optuna.samplers.NSGAIISampler,
        "nsgaiii": optuna.samplers.NSGAIIISampler,
        "brute_force": optuna.samplers.BruteForceSampler,
    },
    declared=False,
)
PRUNERS: Registry[type[BasePruner]] = Registry(
    "pruners",
    BasePruner,
    {
        AUTO: AutoPruner,
        "none": optuna.pruners.NopPruner,
        "median": optuna.pruners.MedianPruner,
        "percentile": optuna.pruners.PercentilePruner,
        "hyperband": optuna.pruners.HyperbandPruner,
        "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
        "threshold": optuna.pruners.ThresholdPruner,
    },
    declared=False,
)
PACKAGES = {"cmaes": "cmaes"}
"""Package that a sampler needs besides Optuna -> extra that installs it."""


@dataclass(frozen=True)
class Choice:
    """A sampler or a pruner as a study file names it.

    Args:
        kind: its name.
        options: arguments of its class, without the seed.
    """

    kind: str = AUTO
    options: Mapping[str, Any] = field(default_factory=dict)

    def tree(self) -> Any:
        """The form of a study file: the name alone, or a mapping."""
        return {"kind": self.kind, **self.options} if self.options else self.kind


def read_choice(value: Any, registry: Registry[Any], place: str) -> Choice:
    """Read ``sampler:`` or ``pruner:`` of a study file: a name, or a mapping with ``kind`` and options of its class.

    Raises:
        SpecError: the kind or an option is unknown, an option has an invalid value, or a package is missing.
    """
    if value is None:
        return Choice()
    tree = {"kind": value} if isinstance(value, str) else value
    if not isinstance(tree, Mapping) or not isinstance(tree.get("kind"), str):
        rule = f"must be a name, or a mapping with kind, got {quoted(value)}"
        raise SpecError(place, rule, remedy=f"known: {', '.join(registry)}")
    kind, options = tree["kind"], {str(key): held for key, held in tree.items() if key != "kind"}
    if kind not in registry:
        raise SpecError(f"{place}.kind", f"unknown kind {quoted(kind)}", remedy=f"known: {', '.join(registry)}")
    known = [name for name in _parameters(registry[kind]) if name != "seed"]
    for name in options:
        if name not in known:
            told = f"known options of {kind}: {', '.join(known) or 'none'}"
            raise SpecError(f"{place}.{named(name)}", "unknown option", remedy=told)
    choice = Choice(kind, options)
    try:
        _make(registry[kind], choice, 0)
    except ImportError:
        package = PACKAGES.get(kind, kind)
        raise SpecError(place, f"{kind} needs {package}", remedy=f"pip install {package}") from None
    except Exception as error:  # classes check their arguments in ways of their own
        raise SpecError(place, f"{kind} refuses its options: {type(error).__name__}: {error}") from None
    return choice


def sampler(choice: Choice, seed: int) -> BaseSampler:
    """The sampler of a study, seeded."""
    return _make(SAMPLERS[choice.kind], choice, seed % 2**32)


def pruner(choice: Choice) -> BasePruner:
    """The pruner of a study. It sees the smoothed RMSE at each of ``RUNGS`` rungs, as steps 1, 2, ..."""
    return _make(PRUNERS[choice.kind], choice, 0)


def _make(kind: Callable[..., Any], choice: Choice, seed: int) -> Any:
    seeded = {"seed": seed} if "seed" in _parameters(kind) else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return kind(**choice.options, **seeded)


def _parameters(kind: Callable[..., Any]) -> list[str]:
    taken = inspect.signature(kind).parameters.values()
    return [one.name for one in taken if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
