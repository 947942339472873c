"""The interface of an architecture that weights over a window or a grid are loaded with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dfkd_tune.inputs.columns import Columns, Kind
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.utils.strategy import strategy

Size = Annotated[int, Field(ge=1, le=100_000)]


@strategy
class ShapedArchitecture(ABC):
    """The content of the architecture file of a network over a window or a grid.

    Args:
        columns: how encoded columns are arranged.
        encoding: encodes raw rows ``(N, D)`` as ``(N, E)``.
        outputs: number of outputs O.
        width: number of units or channels.
    """

    columns: Columns
    encoding: Encoding
    outputs: Size
    width: Size

    kind: ClassVar[str]
    """Its name in an architecture file."""

    def __post_init__(self) -> None:
        if self.columns.width != self.encoding.width:
            raise ValueError(f"the encoding makes {self.encoding.width} columns, {self.columns.width} are arranged")

    @abstractmethod
    def network(self) -> nn.Module:
        """The network from raw rows ``(N, D)`` to raw outputs ``(N, O)``, float32, with any weights."""

    def module(self, state: dict[str, Tensor]) -> nn.Module:
        """The network with the weights of a state dict, in evaluation mode.

        Raises:
            ValueError: the tensors do not fit the architecture.
        """
        # Sizes are read from a file: nothing is allocated before they are those of the weights.
        with torch.device("meta"):
            wanted = {name: tuple(value.shape) for name, value in self.network().state_dict().items()}
        found = {name: tuple(value.shape) for name, value in state.items()}
        if missing := [name for name, shape in wanted.items() if found.get(name) != shape]:
            name = missing[0]
            held = f"has {found[name]} there" if name in found else f"holds {', '.join(found) or 'none'}"
            raise ValueError(f"{self.kind} needs a tensor {name} of shape {wanted[name]}, the file {held}")
        if unused := found.keys() - wanted.keys():
            raise ValueError(f"tensors that no layer uses: {', '.join(sorted(unused))}")
        made = self.network().eval()
        made.load_state_dict(state)
        return made

    def tree(self) -> dict[str, Any]:
        """The content of the file as plain values."""
        nested = {"columns": self.columns.tree(), "encoding": self.encoding.tree()}
        return {"kind": self.kind} | {f.name: getattr(self, f.name) for f in fields(self)} | nested


class ShapedNetwork(nn.Module):
    """A network that encodes and arranges raw rows first.

    Args:
        about: its architecture.
        kind: the shape that its layers take.
    """

    def __init__(self, about: ShapedArchitecture, kind: Kind) -> None:
        super().__init__()
        self.encode, self.arrange = about.encoding.module(), about.columns.module(kind)

    def arranged(self, x: Tensor) -> Tensor:
        """Raw rows ``(N, D)`` as windows ``(N, steps, channels)`` or grids ``(N, height, width, channels)``."""
        return self.arrange(self.encode(x))
