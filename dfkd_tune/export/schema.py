"""``InputSchema``: the description of the inputs that is stored in a student's file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dfkd_tune.inputs.encoding import MISSING, Encoding
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.row_form import RowForm
from dfkd_tune.students.drop_in import drop_in
from dfkd_tune.students.frame_student import FrameStudent
from dfkd_tune.training.raw_evaluation import ExportedStudent


@dataclass(frozen=True)
class InputSchema:
    """Names, encoding and example rows of a student's inputs.

    Args:
        names: feature names, in order.
        encoding: encodes raw rows.
        rows: raw rows ``(N, D)`` of the declared prior in the input's dtype, on which outputs are compared.
        layout: how the teacher's own arguments and outputs lie in rows; None if it takes rows itself.
        form: how a teacher that takes rows itself takes and returns them.
        levels: feature -> declared levels: numbers, words, None for a missing value. The places of words are their values.
        domain: the guard, as ``inputs.domain.fit.Domain.tree`` has it; None of a student that has none.
        about: lines about the student for formats that hold text for a reader.
        stem: name of the file without its suffix, for formats that have names of their own.
    """

    names: list[str]
    encoding: Encoding
    rows: Tensor
    layout: Layout | None = None
    form: RowForm = field(default_factory=RowForm)
    levels: Mapping[str, list[Any]] = field(default_factory=dict)
    domain: Mapping[str, Any] | None = None
    about: tuple[str, ...] = ()
    stem: str = "student"

    @classmethod
    def of(cls, result: dict[str, Any]) -> InputSchema:
        """The schema from a student's ``result.json``."""
        names = result["features"]
        levels = {names.index(name): _numbers(known) for name, known in result["levels"].items()}
        gapped = [names.index(name) for name in result["gapped"]]
        encoding = Encoding(result["center"], result["scale"], result["dtype"], levels, gapped)
        rows = [[math.nan if value is None else value for value in row] for row in result["example"]]
        layout = Layout.of(result["layout"]) if "layout" in result else None
        examples = torch.tensor(rows, dtype=encoding.torch_dtype)
        form = RowForm.of(result["form"])
        return cls(names, encoding, examples, layout, form, result["levels"], result["domain"])

    @property
    def labels(self) -> dict[str, list[str]]:
        """Feature with levels of words -> its words."""
        words = {name: [each for each in known if isinstance(each, str)] for name, known in self.levels.items()}
        return {name: each for name, each in words.items() if each}

    def student(self, answer: Callable[[Tensor], Tensor], parameters: int) -> ExportedStudent:
        """The exported student with these inputs.

        Args:
            answer: maps raw rows ``(N, D)`` to outputs ``(N, O)``; a drop-in student does so by ``flat``.
            parameters: number of trained values.
        """
        dtype = self.encoding.torch_dtype if self.layout is None else self.layout.dtype
        return ExportedStudent(answer, dtype, parameters)

    def more_rows(self, count: int, noise: float = 1.0) -> Tensor:
        """Raw rows ``(count, D)`` on which a file and its student are compared: values of the example rows mixed by feature, with
        numbers moved by ``noise`` times their scale, so that levels and missing values stay what they are."""
        rng, width = torch.Generator().manual_seed(0), self.rows.shape[1]
        chosen = torch.randint(len(self.rows), (count, width), generator=rng)
        scale = torch.tensor(self.encoding.scale, dtype=torch.float64)
        scale[list(self.encoding.levels)] = 0.0
        moves = noise * torch.randn(count, width, generator=rng, dtype=torch.float64)
        return (self.rows.gather(0, chosen).double() + scale * moves).to(self.rows)

    def drop_in(self, network: nn.Module) -> nn.Module:
        """A flat network as a module that takes and returns what the teacher does; itself if that is rows of its own dtype."""
        dtype = self.encoding.torch_dtype
        return self.form.module(network, dtype) if self.layout is None else drop_in(network, self.layout, dtype)

    def module(self, network: nn.Module) -> nn.Module:
        """A flat network as a module for users: as ``drop_in``, and if that is rows, it takes tables as well."""
        if self.layout is not None:
            return self.drop_in(network)
        gapped = [self.names[i] for i in self.encoding.gapped]
        named, dtype = has_names(self.names), self.encoding.torch_dtype
        return FrameStudent(self.drop_in(network), dtype, self.names, self.levels, gapped, named)

    def steps(self, y: Tensor) -> Tensor:
        """How far apart the numbers are that a drop-in student can return, at flat outputs ``(N, O)``; 0 for float32."""
        return torch.zeros_like(y) if self.layout is None else self.layout.steps(y)

    def flat(self, answer: Callable[..., Any]) -> Callable[[Tensor], Tensor]:
        """A drop-in student as a function of raw rows ``(N, D)``."""
        return self.form.flat(answer) if self.layout is None else self.layout.flat(answer)


def has_names(names: list[str]) -> bool:
    """Whether features have names other than the default ``x0``, ``x1``, ..."""
    return names != [f"x{i}" for i in range(len(names))]


def _numbers(levels: list[float | str | None]) -> list[float | Literal["missing"]]:
    """Levels as numbers in the student's input: the codes of text levels, and ``missing`` last."""
    return [
        MISSING if level is None else float(code) if isinstance(level, str) else level
        for code, level in enumerate(levels)
    ]
