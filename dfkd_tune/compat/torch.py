"""Private parts of PyTorch: hooks of a module, and what ``torch.utils`` does not export."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["TorchDispatchMode", "forward_pre_hooks", "has_forward_hooks", "set_forward_pre_hooks", "tree_leaves"]

HOOKS = ("_forward_pre_hooks", "_forward_hooks")
"""Attributes of a module."""


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether a module, or one within it, runs other code around its forward pass."""
    return any(each._forward_pre_hooks or each._forward_hooks for each in module.modules())


def forward_pre_hooks(module: nn.Module) -> dict[int, Callable[..., Any]]:
    """What a module runs before its forward pass."""
    return dict(module._forward_pre_hooks)


def set_forward_pre_hooks(module: nn.Module, hooks: dict[int, Callable[..., Any]]) -> None:
    """Have a module run these and no others before its forward pass."""
    module._forward_pre_hooks = OrderedDict(hooks)
