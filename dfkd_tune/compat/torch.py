"""Private parts of PyTorch: hooks of a module, and unexported parts of ``torch.utils``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_unflatten

__all__ = [
    "LightDispatchMode",
    "forward_pre_hooks",
    "has_forward_hooks",
    "set_forward_pre_hooks",
    "tree_leaves",
    "tree_unflatten",
]

HOOKS = ("_forward_pre_hooks", "_forward_hooks")
"""Attributes of a module that hold its hooks."""


class LightDispatchMode(TorchDispatchMode):
    """A dispatch mode whose first use does not import PyTorch's compiler, which takes a second."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether a module or a submodule has forward hooks."""
    return any(each._forward_pre_hooks or each._forward_hooks for each in module.modules())


def forward_pre_hooks(module: nn.Module) -> dict[int, Callable[..., Any]]:
    """The forward pre-hooks of a module."""
    return dict(module._forward_pre_hooks)


def set_forward_pre_hooks(module: nn.Module, hooks: dict[int, Callable[..., Any]]) -> None:
    """Replace the forward pre-hooks of a module."""
    module._forward_pre_hooks = OrderedDict(hooks)
