"""Cases of teachers that take and return other things than rows: the student is distilled, reloaded by PyTorch alone, and called as its teacher is."""

from __future__ import annotations

import json
from dataclasses import dataclass

import yaml
from cases_lab import RECIPE, Lab, Outcome, agree, told

TEACHERS = '''
import torch
from torch import nn


def mlp(width, outputs):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, 12), nn.Tanh(), nn.Linear(12, outputs))


def normal(*shape):
    return lambda rows: torch.randn(rows, *shape)


def codes(count, *shape):
    return lambda rows: torch.randint(count, (rows, *shape))


class Two(nn.Module):
    """Numbers and a category."""

    draws = (normal(2), codes(4))

    def __init__(self):
        super().__init__()
        self.net, self.table = mlp(4, 1), nn.Embedding(4, 2)

    def forward(self, numbers, region):
        return self.net(torch.cat([numbers, self.table(region)], 1))


class Dict(Two):
    """The same in a dict, and two outputs in a dict."""

    draws = ({"numbers": normal(2), "region": codes(4)},)

    def forward(self, batch):
        y = super().forward(**batch)
        return {"power": y, "quality": torch.cat([y.sin(), y], 1)}


class Window(nn.Module):
    draws = (normal(6, 3),)

    def __init__(self):
        super().__init__()
        self.net = mlp(18, 1)

    def forward(self, history):
        return self.net(history.flatten(1))


class Tail(Window):
    """Answers of shape (N, 1, 1)."""

    def forward(self, history):
        return super().forward(history)[:, :, None]


class Whole(nn.Module):
    draws = (codes(5, 2),)

    def __init__(self):
        super().__init__()
        self.net, self.table = mlp(4, 1), nn.Embedding(5, 2)

    def forward(self, codes):
        return self.net(self.table(codes).flatten(1))


class Half(nn.Module):
    draws = (lambda rows: torch.randn(rows, 3).half(),)

    def __init__(self):
        super().__init__()
        self.net = mlp(3, 1)

    def forward(self, x):
        return self.net(x.float()).half()


class Columns(nn.Module):
    """One input a column."""

    draws = (normal(1), lambda rows: torch.randint(10, (rows, 1)))

    def __init__(self):
        super().__init__()
        self.net = mlp(2, 1)

    def forward(self, load, count):
        return self.net(torch.cat([load, count.float() / 5], 1))


def call(kind, rows):
    """Arguments of a call."""
    return torch.utils._pytree.tree_map(lambda draw: draw(rows), kind.draws)


def save(name, file, fixed=False):
    kind = globals()[name]
    teacher, given = kind().eval(), call(kind, 1 if fixed else 2)
    if file.endswith(".onnx"):
        names = ["load", "count"]
        free = {each: {0: "rows"} for each in (*names, "y")}
        torch.onnx.export(teacher, given, file, dynamo=False, input_names=names, output_names=["y"], dynamic_axes=free)
        return
    free = None if fixed else torch.utils._pytree.tree_map(lambda _: {0: torch.export.Dim("rows", min=1)}, given)
    torch.export.save(torch.export.export(teacher, given, dynamic_shapes=free), file)
'''
TRUTH = """
import json, sys
sys.path.insert(0, ".")
import torch
from shapes import *

kind, leaves = globals()[{name!r}], torch.utils._pytree.tree_leaves
teacher, student = kind().eval(), torch.export.load("out/student.pt2").module()
torch.manual_seed(7)
alike = True
for rows in (1, 20_000):
    given = call(kind, rows)
    with torch.no_grad():
        theirs, ours = teacher(*given), student(*given)
    same = torch.utils._pytree.tree_structure(theirs) == torch.utils._pytree.tree_structure(ours)
    alike &= same and [(y.shape, y.dtype) for y in leaves(theirs)] == [(y.shape, y.dtype) for y in leaves(ours)]
gaps = torch.cat([(a.double() - b.double()).flatten(1) for a, b in zip(leaves(theirs), leaves(ours))], 1)
print(json.dumps([alike, float(gaps.square().mean().sqrt())]))
"""


@dataclass(frozen=True)
class Shape:
    """A teacher with arguments.

    Args:
        name: its class in ``TEACHERS``.
        features: content of its features file; None without one.
        file: the file that it is saved as.
    """

    name: str
    features: dict | None = None
    file: str = "teacher.pt2"


NUMBERS, REGION = {"mean": 0, "std": 1}, {"levels": [0, 1, 2, 3]}
INDEPENDENT = {"window": {"steps": 6, "channels": [{"name": each, "autocorrelation": [0]} for each in "abc"]}}
"""The rows that ``TRUTH`` draws: steps of a window that are independent."""
SHAPES = {
    "two inputs": Shape("Two", {"arguments": {"numbers": NUMBERS, "region": REGION}}),
    "dict in, dict out": Shape("Dict", {"arguments": {"numbers": NUMBERS, "region": REGION}}),
    "(N, T, F)": Shape("Window", INDEPENDENT),
    "one input a column": Shape(
        "Columns", {"arguments": {"load": NUMBERS, "count": {"range": [0, 9]}}}, "teacher.onnx"
    ),
    "int64 inputs": Shape("Whole", {"arguments": {"codes": {"levels": [0, 1, 2, 3, 4]}}}),
    "float16 inputs": Shape("Half"),
    "(N, 1, 1) out": Shape("Tail", INDEPENDENT),
}
"""Part of the row -> its teacher."""


def written(lab: Lab, shape: Shape, fixed: bool = False) -> tuple[str, ...]:
    """Write a teacher's files; the command that distills it.

    Raises:
        RuntimeError: with the last line of what failed.
    """
    lab.write("shapes.py", TEACHERS)
    made = lab.python(f"import shapes; shapes.save({shape.name!r}, {shape.file!r}, {fixed})")
    if made.status != 0:
        raise RuntimeError(made.last)
    lab.write("recipe.yaml", yaml.safe_dump(RECIPE))
    given = ("distill", "--teacher", shape.file, "--recipe", "recipe.yaml", "--out", "out")
    if shape.features is None:
        return given
    lab.write("features.yaml", yaml.safe_dump(shape.features))
    return *given, "--features", "features.yaml"


def drop_in(lab: Lab, part: str) -> Outcome:
    """A student takes and returns what its teacher does, and is as near to it as was said."""
    shape = SHAPES[part]
    ended = lab.ask(*written(lab, shape))
    if ended.status != 0:
        return told(ended, False)
    found = lab.python(TRUTH.format(name=shape.name), PYTHONPATH="")
    if found.status != 0:
        return told(found, False)
    alike, true = json.loads(found.out.splitlines()[-1])
    reported = ended.number(r"RMSE ([\d.e+-]+) of student.pt2")
    words = f"exit 0, {ended.seconds:.0f} s: {'a' if alike else 'no'} drop-in, reported {reported:.4g}, true {true:.4g}"
    return Outcome(words, alike and agree(reported, true))


def fixed_batch(lab: Lab) -> Outcome:
    """A teacher that answers one row at a time is refused with the reason and the remedy."""
    ended = lab.ask(*written(lab, Shape("Window"), fixed=True))
    return told(ended, ended.refused("batch"))
