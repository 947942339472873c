"""The sampler and the pruner of a study, by name with their own options."""

from __future__ import annotations

import inspect
import logging
import types
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
import pydantic
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

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
EXTRAS = {"cmaes"}
"""Packages that a sampler needs besides Optuna, and the extras of the same names that install them."""
QUIET = {"warn_independent_sampling": False, "warn_asynchronous_seeding": False}
"""Options that silence a line for every leaf and trial: in a conditional space, most samplers draw some leaves independently.

A sampler that is silent by itself deprecates them."""
PLAIN = {int, float, bool, str, dict, list, Mapping, Sequence, Any}
"""Types of which a study file can hold values."""
STRICT = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True)
TRIED = 3
"""Trials of a sampler before the study starts: from the second on, it samples relative to earlier ones."""


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

    def words(self) -> str:
        """The same as a call, such as ``tpe(n_startup_trials=20)``."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.kind}({options})" if options else self.kind


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
    known = _options(registry[kind])
    for name, held in options.items():
        if name not in known:
            remedy = f"known options of {kind}: {', '.join(known) or 'none'}"
            raise SpecError(f"{place}.{named(name)}", "unknown option", remedy=remedy)
        try:
            pydantic.TypeAdapter(known[name], config=STRICT).validate_python(held)
        except pydantic.ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise SpecError(f"{place}.{name}", f"{reason[0].lower()}{reason[1:]}, got {quoted(held)}") from None
    choice = Choice(kind, options)
    try:
        _make(registry[kind], choice, 0)
    except ImportError as error:
        raise _missing(kind, error, place) from None
    except Exception as error:  # classes check their arguments in ways of their own
        raise SpecError(place, f"{kind} refuses its options: {_line(error)}") from None
    return choice


def try_sampler(choice: Choice, suggest: Callable[[optuna.Trial], object], objectives: int, place: str) -> None:
    """Sample a few trials in memory, so that a sampler that cannot search a space is refused before the study starts.

    Args:
        choice: the sampler.
        suggest: draws all parameters of a trial.
        objectives: number of objectives of the study.
        place: name of the section, for messages.

    Raises:
        SpecError: the sampler does not take this space or several objectives, or needs a package that is missing.
    """
    if choice.kind == AUTO:
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=sampler(choice, 0), directions=[StudyDirection.MINIMIZE] * objectives)
        try:
            for number in range(TRIED):
                trial = study.ask()
                suggest(trial)
                study.tell(trial, [float(number)] * objectives)
        except ImportError as error:
            raise _missing(choice.kind, error, place) from None
        except Exception as error:  # samplers refuse in ways of their own
            rule = f"{choice.kind} cannot search this study: {_line(error)}"
            raise SpecError(place, rule, remedy="take another sampler, such as auto") from None


def _missing(kind: str, error: ImportError, place: str) -> SpecError:
    package = (error.name or kind).partition(".")[0]
    remedy = f"pip install 'dfkd-tune[{package}]'" if package in EXTRAS else f"pip install {package}"
    return SpecError(place, f"{kind} needs the package {package}, which is not installed", remedy=remedy)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def sampler(choice: Choice, seed: int) -> BaseSampler:
    """The sampler of a study, seeded."""
    kind = SAMPLERS[choice.kind]
    if issubclass(kind, optuna.samplers.QMCSampler):  # it has no option against its line about conditional spaces
        logging.getLogger(kind.__module__).setLevel(logging.ERROR)
    return _make(kind, choice, seed % 2**32)


def pruner(choice: Choice) -> BasePruner:
    """The pruner of a study. It sees the smoothed RMSE at each of ``RUNGS`` rungs, as steps 1, 2, ..."""
    return _make(PRUNERS[choice.kind], choice, 0)


def _make(kind: Callable[..., Any], choice: Choice, seed: int) -> Any:
    taken = inspect.signature(kind).parameters
    own: dict[str, Any] = {"seed": seed} if "seed" in taken else {}
    own |= {name: value for name, value in QUIET.items() if name in taken and taken[name].default is True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return kind(**own | dict(choice.options))


def _options(kind: type) -> dict[str, Any]:
    """Argument of a class -> its type, for those that a study file can give. The study's own seed is none of them."""
    found = {}
    for one in inspect.signature(kind).parameters.values():
        hint = _type(one.annotation, getattr(kind.__init__, "__globals__", {}))
        keyword = one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        if keyword and one.name != "seed" and any((typing.get_origin(h) or h) in PLAIN for h in _members(hint)):
            found[one.name] = hint
    return found


def _type(annotation: Any, names: Mapping[str, Any]) -> Any:
    """The type of an annotation; None if it names what is imported for type checkers alone, which is no plain type."""
    if annotation is inspect.Parameter.empty:
        return Any
    try:
        return eval(annotation, vars(typing) | dict(names)) if isinstance(annotation, str) else annotation
    except Exception:
        return None


def _members(hint: Any) -> tuple[Any, ...]:
    """The members of a union; of any other type, the type itself."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)
