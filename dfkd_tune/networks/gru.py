"""A layer of gated recurrent units and a linear layer, as they are stored and exported."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from dfkd_tune.networks.base import ShapedArchitecture, ShapedNetwork
from dfkd_tune.utils.strategy import strategy


@strategy
class GRUArchitecture(ShapedArchitecture):
    """Gated recurrent units over a window; arguments as for ``ShapedArchitecture``."""

    kind: ClassVar[str] = "gru"

    def network(self) -> GRUNetwork:
        """The network from raw rows to raw outputs, with random weights."""
        return GRUNetwork(self)


class GRUNetwork(ShapedNetwork):
    """Its parameters are those of ``torch.nn.GRU`` with one layer, and of a linear layer on the last state."""

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias_ih: nn.Parameter
    bias_hh: nn.Parameter
    start: Tensor

    def __init__(self, about: GRUArchitecture) -> None:
        super().__init__(about, "window")
        units, channels = about.width, about.columns.shaped("window")[-1]
        shapes = {"weight_ih": (3 * units, channels), "weight_hh": (3 * units, units)}
        shapes |= {"bias_ih": (3 * units,), "bias_hh": (3 * units,)}
        reach = 1 / math.sqrt(units)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-reach, reach)))
        self.register_buffer("start", torch.zeros(1, 1, units), persistent=False)
        self.out = nn.Linear(units, about.outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.arranged(x)
        # The function behind ``nn.GRU``: the module keeps lists of weights that an export cannot trace.
        weights: list[Tensor] = [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]
        start = self.start.expand(1, x.shape[0], -1)
        last = torch.gru(x, start, weights, True, 1, 0.0, False, False, True)[1]
        answers = self.out(last[0])
        if torch.onnx.is_in_onnx_export():  # ONNX Runtime's operator forgets that a value was NaN
            answers = torch.where(x.isnan().flatten(1).any(1, keepdim=True), torch.nan, answers)
        return answers
