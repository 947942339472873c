"""Extract a plain state dict from a checkpoint: find it, remove wrapper prefixes, and merge normalized weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

HOLDERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params"),
    *("ema_state_dict", "ema", "model_ema", "generator", "teacher"),
)
"""Keys under which checkpoints keep the weights, most likely first."""
WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DataParallel, AveragedModel and torch.compile add to every name."""
COUNTS = ("n_averaged", "n_avg", "num_batches_tracked")
"""Entries that count steps and do not affect outputs."""


def weights_in(loaded: Any) -> dict[str, Tensor] | None:
    """Name in the network -> weight, from a checkpoint; None if it holds no weights."""
    if not isinstance(loaded, Mapping):
        return None
    if _is_state(loaded):
        return _merged(_unwrapped(dict(loaded)))
    named = [loaded[key] for key in HOLDERS if key in loaded]
    others = [value for key, value in loaded.items() if key not in HOLDERS and "optim" not in str(key)]
    for held in (*named, *others):
        if isinstance(held, Mapping) and (found := weights_in(held)) is not None:
            return found
    return None


def _is_state(value: Mapping[Any, Any]) -> bool:
    return bool(value) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {k: v for k, v in state.items() if k.rpartition(".")[2] not in COUNTS}
    while state and (found := next((w for w in WRAPPERS if all(k.startswith(w) for k in state)), None)):
        state = {k.removeprefix(found): v for k, v in state.items()}
    return state


def _of_norm(size: Tensor, direction: Tensor) -> Tensor:
    """A weight from its norm and direction; the norm is over the dimensions in which ``size`` has length 1."""
    over = [i for i in range(direction.ndim) if size.ndim != direction.ndim or size.shape[i] == 1]
    whole = over == [*range(direction.ndim)] and size.numel() == 1
    norm = direction.norm() if whole else torch.linalg.vector_norm(direction, dim=over, keepdim=True)
    return direction * (size / norm)


def _of_spectrum(weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """A weight ``(out, in)`` divided by its largest singular value, estimated with the vectors saved in training."""
    return weight / torch.dot(left, weight.flatten(1) @ right)


NORMALIZED: tuple[tuple[Callable[..., Tensor], tuple[str, ...]], ...] = (
    (_of_norm, ("{}_g", "{}_v")),
    (_of_norm, ("parametrizations.{}.original0", "parametrizations.{}.original1")),
    (_of_spectrum, ("{}_orig", "{}_u", "{}_v")),
    (_of_spectrum, ("parametrizations.{}.original", "parametrizations.{}.0._u", "parametrizations.{}.0._v")),
)
"""How ``weight_norm`` and ``spectral_norm`` name the parts of a weight, in their old and new form."""


def _merged(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace the parts of each normalized weight by the effective weight."""
    for merge, names in NORMALIZED:
        first = re.compile(re.escape(names[0]).replace(r"\{\}", "(weight)"))
        for key in [*state]:
            if (found := re.fullmatch(rf"(.*\.)?{first.pattern}", key)) is None:
                continue
            halves = [f"{found[1] or ''}{name.format(found[2])}" for name in names]
            if all(half in state for half in halves):
                state[f"{found[1] or ''}{found[2]}"] = merge(*(state.pop(half) for half in halves))
    return state
