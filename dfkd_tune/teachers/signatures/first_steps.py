"""Find what a scikit-learn estimator does first with each of its columns, whatever is around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

INDICATOR = "missingindicator_"
"""Beginning of the names of the columns that an imputer adds behind its own."""


@dataclass(frozen=True)
class FirstStep:
    """A fitted step, and the columns that it gets.

    Args:
        step: a scaler, an encoder, a regressor, ...
        columns: names of its columns, in its order. It may have further ones behind them, which an imputer added.
        imputed: whether an imputer has filled their missing values before.
    """

    step: Any
    columns: list[str]
    imputed: bool = False


def first_steps(estimator: Any, names: Sequence[str]) -> Iterator[FirstStep]:
    """Yield the steps that get the columns as they are, or as an imputer has filled them.

    Pipelines, column transformers, searches and transformed targets are looked into.

    Args:
        estimator: a fitted estimator.
        names: names of its columns.
    """
    yield from _first(estimator, [*names], imputed=False)


def _first(estimator: Any, names: list[str], imputed: bool) -> Iterator[FirstStep]:
    if hasattr(estimator, "steps"):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        while len(steps) > 1 and _fills(steps[0], names):
            steps, imputed = steps[1:], True
        yield from _first(steps[0], names, imputed) if steps else ()
    elif hasattr(estimator, "transformers_"):
        for _, inner, chosen in estimator.transformers_:
            found = _chosen(chosen, names)
            if found and not isinstance(inner, str):
                yield from _first(inner, found, imputed)
    elif (inner := getattr(estimator, "best_estimator_", getattr(estimator, "regressor_", None))) is not None:
        yield from _first(inner, names, imputed)
    else:
        yield FirstStep(estimator, names, imputed)


def _fills(step: Any, names: Sequence[str]) -> bool:
    """Whether a step is an imputer that keeps all columns in their order."""
    if not type(step).__module__.startswith("sklearn.impute"):
        return False
    kept = [name for name in step.get_feature_names_out() if not str(name).startswith(INDICATOR)]
    return len(kept) == len(names)


def _chosen(columns: Any, names: Sequence[str]) -> list[str]:
    """Names of the columns of a transformer, which may be given by name, index, mask or slice."""
    if isinstance(columns, str | int | np.integer):
        columns = [columns]
    if isinstance(columns, slice) and not isinstance(columns.start or columns.stop or "", str):
        return list(names)[columns]
    try:
        found = np.asarray(columns)
    except ValueError:
        return []
    if found.dtype == bool and len(found) == len(names):
        return [name for name, taken in zip(names, found, strict=True) if taken]
    if found.ndim != 1:
        return []
    return [
        str(one) if isinstance(one, str) else names[int(one)] for one in found.tolist() if isinstance(one, str | int)
    ]
