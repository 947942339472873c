"""Modules as the graphs of ``torch.export``, and the programs that are read from them."""

import io

import torch
from torch import nn

from dfkd_tune.inputs.arguments import layout_of
from dfkd_tune.ops.pt2_archive import call_to_pt2, free_batch
from dfkd_tune.teachers.fused.exported_graph import read_program
from dfkd_tune.teachers.signatures.exported_program import signature_of

ROWS = 5


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Called(nn.Module):
    """Some modules, and a function of them and of the arguments."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def read(module, *examples):
    shapes = tuple(free_batch() for _ in examples)
    program = torch.export.load(io.BytesIO(call_to_pt2(module, examples, {}, shapes)))
    signature = signature_of("here", program)
    width = sum(each[0].numel() for each in examples)
    layout = None if signature.flat else layout_of(signature, "here")
    return read_program(program.module(check_guards=False), width, torch.float64, layout)
