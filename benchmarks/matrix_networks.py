"""Networks of every form, exported to pt2 or ONNX: windows, images, several arguments, dicts, other dtypes.

Windows are the weather of ``series.py``; images are the digits that scikit-learn ships.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import window_kinds
from matrix_data import NUMBERS, ROWS, TARGET, Case, perceptron, split, standardized, trained
from series import load
from torch import Tensor, nn


def pt2(network: nn.Module, example: tuple, file: Path) -> str:
    """Export a network, whose arguments may be nested."""
    free = {0: torch.export.Dim("rows", min=1)}
    few = torch.utils._pytree.tree_map(lambda each: each[:2], example)
    shapes = torch.utils._pytree.tree_map(lambda _: free, few)
    torch.export.save(torch.export.export(network, few, dynamic_shapes=tuple(shapes)), file)
    return str(file)


def onnx(network: nn.Module, example: Sequence[Tensor], file: Path, inputs: list[str], outputs: list[str]) -> str:
    """Export a network with named inputs and outputs."""
    free = {name: {0: "rows"} for name in (*inputs, *outputs)}
    few = tuple(each[:2] for each in example)
    names = {"input_names": inputs, "output_names": outputs, "dynamic_axes": free}
    torch.onnx.export(network, few, str(file), dynamo=False, **names)
    return str(file)


def window(kind: str, folder: Path) -> Case:
    """A teacher over windows of 24 hours and 6 channels."""
    series = load("weather")
    rows = torch.randperm(len(series.train), generator=torch.Generator().manual_seed(0))[:ROWS]
    x, y = torch.from_numpy(series.train)[rows], torch.from_numpy(series.goals)[rows]
    torch.manual_seed(0)
    made = {"lstm": lambda: window_kinds.Recurrent(6, cell=nn.LSTM)}.get(kind, lambda: window_kinds.KINDS[kind](6))()
    network = window_kinds.fit(made, x, y, torch.Generator().manual_seed(0), epochs=4)
    return Case(pt2(network, (x,), folder / f"{kind}.pt2"), [torch.from_numpy(series.test)])


@lru_cache(maxsize=1)
def digits() -> tuple[Tensor, Tensor, Tensor]:
    """Images ``(N, 8, 8)`` with mean 0 and deviation 1, the value of each digit, and a mask of the training images."""
    from sklearn.datasets import load_digits

    images = load_digits()
    x = torch.tensor(images.images, dtype=torch.float32)
    return (x - x.mean()) / x.std(), torch.tensor(images.target, dtype=torch.float32), torch.arange(len(x)) % 4 > 0


class Images(nn.Module):
    """A convolutional network over ``(N, 1, 8, 8)``, or ``(N, 8, 8, 1)`` as TensorFlow has them."""

    def __init__(self, norm: bool, last: bool = False):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 16), (16, 32)):
            layers += [nn.Conv2d(before, after, 3, padding=1)]
            layers += [nn.BatchNorm2d(after)] if norm else []
            layers += [nn.ReLU(), nn.AvgPool2d(2)]
        self.net, self.last = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 1)), last

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image.permute(0, 3, 1, 2) if self.last else image)


def images(folder: Path, norm: bool = False, last: bool = False) -> Case:
    """A convolutional network of the value of a digit; with channels last, an ONNX file."""
    x, y, train = digits()
    x = x[..., None] if last else x[:, None]
    torch.manual_seed(0)
    network = trained(Images(norm, last), [x[train]], y[train])
    if last:
        source = onnx(network, [x], folder / "images.onnx", ["image"], ["value"])
    else:
        source = pt2(network, (x,), folder / f"images-{norm}.pt2")
    return Case(source, [x[~train]])


class Mixed(nn.Module):
    """Numbers and a category that selects a row of an embedding."""

    def __init__(self, outputs: int = 1):
        super().__init__()
        self.site = nn.Embedding(3, 4)
        self.net = nn.Sequential(nn.Linear(10, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, outputs))

    def forward(self, numbers: Tensor, site: Tensor) -> Any:
        return self.net(torch.cat([numbers, self.site(site)], dim=1))


class Dicts(Mixed):
    """A dict in, a dict out."""

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        y = super().forward(batch["numbers"], batch["site"])
        return {"temp": y[:, 0], "squared": y[:, 1:]}


def mixed(folder: Path, nested: bool = False) -> Case:
    """A network over numbers and a category."""
    (x, site, y), held = split(*standardized())
    torch.manual_seed(0)
    if not nested:
        network = trained(Mixed(), [x, site], y)
        return Case(pt2(network, (x, site), folder / "mixed.pt2"), held[:2])
    network, goals = Dicts(2), torch.stack([y, y.square()], dim=1)
    inner = trained(_Calling(network), [x, site], goals)
    source = pt2(inner.network, ({"numbers": x, "site": site},), folder / "dicts.pt2")
    return Case(source, held[:2])


class _Calling(nn.Module):
    """A network of a dict, called with positional arguments."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, numbers: Tensor, site: Tensor) -> Any:
        return self.network({"numbers": numbers, "site": site})


def half(folder: Path, dtype: torch.dtype) -> Case:
    """A network whose weights, arguments and outputs have another dtype."""
    (x, _, y), (held, *_) = split(*standardized())
    network = trained(perceptron(), [x], y).to(dtype)
    return Case(pt2(network, (x.to(dtype),), folder / f"{str(dtype)[6:]}.pt2"), [held.to(dtype)])


class Columns(nn.Module):
    """One input a column."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, *columns: Tensor) -> Tensor:
        return self.inner(torch.cat(columns, dim=1))


class Two(Columns):
    """Two outputs."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.inner(x)
        return y[:, :1], y[:, 1:]


def graph(folder: Path, columns: bool) -> Case:
    """An ONNX file with one input a column, or with two outputs."""
    (x, _, y), (held, *_) = split(*standardized())
    if columns:
        network = Columns(trained(perceptron(), [x], y)).eval()
        each, own = [x[:, i : i + 1] for i in range(6)], [held[:, i : i + 1] for i in range(6)]
        return Case(onnx(network, each, folder / "columns.onnx", NUMBERS, [TARGET]), own)
    network = Two(trained(perceptron(2), [x], torch.stack([y, y.square()], dim=1))).eval()
    return Case(onnx(network, [x], folder / "two.onnx", ["x"], ["temp", "squared"]), [held])
