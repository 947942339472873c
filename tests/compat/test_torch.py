"""Private parts of PyTorch are there: the hooks of a module."""

import torch
from private_parts import require
from torch import nn

from dfkd_tune.compat import torch as torch_private


def test_hooks_of_a_module():
    module = nn.Sequential(nn.Linear(2, 1))
    for name in torch_private.HOOKS:
        require(module, name, "torch.nn.Module")
    assert not torch_private.has_forward_hooks(module)
    module[0].register_forward_pre_hook(lambda module, given: (given[0] * 0,))
    assert torch_private.has_forward_hooks(module)
    (hook,) = torch_private.forward_pre_hooks(module[0]).values()
    torch_private.set_forward_pre_hooks(module[0], {})
    assert not torch_private.has_forward_hooks(module)
    torch_private.set_forward_pre_hooks(module[0], {0: hook})
    assert torch.equal(module(torch.ones(1, 2)), module[0].bias.detach()[None])
