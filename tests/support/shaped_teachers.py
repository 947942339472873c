"""Small teachers that take more than rows of numbers, as modules and as files."""

from pathlib import Path

import torch
from torch import nn


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))


REGION = torch.tensor([0, 3])


class Lstm(nn.Module):
    """A window of 24 steps and 6 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(6, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, signal):
        return 4 * self.out(self.lstm(signal)[0][:, -1])


class Conv1d(nn.Module):
    """The same window, answered as ``(N, 1, 1)``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(6, 2, 5, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(10, 1))

    def forward(self, signal):
        return self.net(signal.transpose(1, 2))[:, :, None]


class Images(nn.Module):
    """Images in the order of TensorFlow, ``(N, 8, 8, 1)``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(72, 1))

    def forward(self, image):
        return self.net(image.permute(0, 3, 1, 2))


class Mixed(nn.Module):
    """Numbers and a category that selects a row of an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.net = nn.Embedding(4, 2), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, numbers, region):
        return self.net(torch.cat([numbers, 3 * self.table(region)], dim=1))[:, :1]


class Dicts(Mixed):
    """A dict in, a dict out."""

    def forward(self, batch):
        y = self.net(torch.cat([batch["numbers"], 3 * self.table(batch["region"])], dim=1))
        return {"quality": y[:, :2], "power": y[:, 2]}


class Tuples(nn.Module):
    """Rows in, a tuple out."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x):
        y = self.net(x)
        return y[:, :2], y[:, 2:, None]


class Casting(Tuples):
    """float32 in, bfloat16 out, as autocast leaves it."""

    def forward(self, x):
        return super().forward(x)[0].bfloat16()


class Keywords(Mixed):
    """Half precision or double, keyword arguments, a truth value, and a list in a dict."""

    def forward(self, numbers, *, region, flag):
        y = self.net(torch.cat([numbers, 3 * self.table(region)], dim=1))
        return {"all": [y[:, :1] + flag[:, None] * numbers[:, :1], y[:, 1]]}


CALLS = {
    Lstm: ((rows(24, 6),), {}),
    Conv1d: ((rows(24, 6),), {}),
    Images: ((rows(8, 8, 1),), {}),
    Mixed: ((rows(2), REGION), {}),
    Dicts: (({"numbers": rows(2), "region": REGION},), {}),
    Tuples: ((rows(3),), {}),
    Casting: ((rows(3),), {}),
    Keywords: ((rows(2),), {"region": REGION, "flag": torch.tensor([True, False])}),
}
"""Teacher -> example call."""


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind().eval()


def save_pt2(module: nn.Module, path: Path) -> Path:
    positional, keywords = CALLS[type(module)]
    if (dtype := next(module.parameters()).dtype) != torch.float32:
        positional = tuple(each.to(dtype) for each in positional)
    free = {0: torch.export.Dim("rows", min=1)}
    shapes = torch.utils._pytree.tree_map(lambda _: free, positional)
    if keywords:
        shapes = {"numbers": shapes[0]} | dict.fromkeys(keywords, free)
    torch.export.save(torch.export.export(module, positional, keywords, dynamic_shapes=shapes), path)
    return path


def save_onnx(module: nn.Module, path: Path, inputs: list[str], outputs: list[str]) -> Path:
    free = {name: {0: "rows"} for name in (*inputs, *outputs)}
    torch.onnx.export(module, CALLS[type(module)][0], str(path), dynamo=False, input_names=inputs, output_names=outputs, dynamic_axes=free)  # fmt: skip
    return path


def save_columns(path: Path) -> Path:
    """A network with one input a column, an int64 and a float, as skl2onnx writes it, and two outputs."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["count"], ["n"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["n", "load"], ["product"]),
        helper.make_node("Sin", ["load"], ["wave"]),
    ]
    taken = [("load", TensorProto.FLOAT), ("count", TensorProto.INT64)]
    inputs = [helper.make_tensor_value_info(name, kind, ["rows", 1]) for name, kind in taken]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1]) for name in ("product", "wave")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 10
    onnx.save(model, str(path))
    return path
