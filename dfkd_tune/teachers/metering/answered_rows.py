"""Answered rows on disk: one safetensors file per call, shared by all processes of a study.

The name of a file says which part of the total its rows belong to, and where in the part they begin: ``PART-OFFSET.safetensors``.
A file is written whole or not at all, and never changes.

A row with an output that is NaN or infinite was asked, but is not answered: it may be asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from dfkd_tune.errors import StorageError
from dfkd_tune.locations.files import write

SUFFIX = ".safetensors"
DIGITS = 12


@dataclass
class AnsweredRows:
    """The answered rows of a study.

    Args:
        folder: their folder; it may not exist yet.
    """

    folder: Path
    _files: dict[str, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict, init=False, repr=False)
    _known: dict[bytes, tuple[str, Tensor | None]] = field(default_factory=dict, init=False, repr=False)

    def add(self, part: str, offset: int, x: Tensor, y: Tensor) -> None:
        """Keep rows ``(N, D)`` in the teacher's units and dtype, and what it returned, ``(N,)`` or ``(N, O)``.

        Raises:
            StorageError: the file cannot be written.
        """
        tensors = {"x": x.detach().cpu().contiguous(), "y": y.detach().cpu().contiguous()}
        name = f"{part}-{offset:0{DIGITS}}{SUFFIX}"
        self._keep(name, tensors)
        self._take(name, tensors["x"], tensors["y"])

    def _keep(self, name: str, tensors: dict[str, Tensor]) -> None:
        write(self.folder / name, save(tensors), StorageError)

    def refresh(self) -> None:
        """Read the files that other processes wrote since.

        Raises:
            StorageError: a file is damaged.
        """
        for file in sorted(self.folder.glob(f"*{SUFFIX}")):
            if file.name in self._files:
                continue
            try:
                found = load_file(file)
                self._take(file.name, found["x"], found["y"])
            except (OSError, SafetensorError, KeyError) as error:
                rule = f"holds answered rows and cannot be read: {error}"
                raise StorageError(file, rule, remedy="restore it, or delete it to do without its rows") from None

    @property
    def is_empty(self) -> bool:
        """Whether no row was asked."""
        return not self._known

    def keys(self, x: Tensor) -> list[bytes]:
        """The keys of rows ``(N, D)``: equal where rows are equal in every bit."""
        return [_key(row) for row in x]

    def answer(self, key: bytes) -> Tensor | None:
        """The kept answer ``(O,)`` to the row with a key; None if there is none."""
        found = self.returned(key)
        return None if found is None else found.reshape(-1)

    def returned(self, key: bytes) -> Tensor | None:
        """The same as the teacher returned it, ``()`` or ``(O,)``: which of both is a part of what is known of it."""
        found = self._known.get(key)
        return None if found is None else found[1]

    def part_of(self, key: bytes) -> str | None:
        """The part for which the row with a key was asked; None if it was not asked."""
        found = self._known.get(key)
        return None if found is None else found[0]

    def part(self, name: str) -> tuple[Tensor, Tensor]:
        """Answered rows ``(N, D)`` of a part and their answers ``(N, O)``, in the order in which they were claimed; both empty without any."""
        kept = [(x[finite], y[finite]) for x, y, finite in self._of(name) if bool(finite.any())]
        if not kept:
            return torch.zeros(0, 0), torch.zeros(0, 0)
        x, y = zip(*kept, strict=True)
        return torch.cat(x), torch.cat(y)

    def count(self, name: str) -> int:
        """Number of answered rows of a part."""
        return sum(int(finite.sum()) for _, _, finite in self._of(name))

    def asked(self, name: str) -> int:
        """Number of rows that were asked for a part and got any answer, NaN and infinity included."""
        return sum(len(x) for x, _, _ in self._of(name))

    def not_finite(self, name: str) -> Tensor:
        """Rows ``(N, D)`` of a part that got NaN or infinity each time that they were asked."""
        rows = [row for x, _, finite in self._of(name) for row in x[~finite]]
        left = {key: row for row in rows if self.answer(key := _key(row)) is None}
        return torch.stack([*left.values()]) if left else torch.zeros(0, 0)

    def _of(self, name: str) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Rows and answers of the files of a part, in order, and which answers are finite."""
        return [self._files[file] for file in sorted(self._files) if _part(file) == name]

    def _take(self, name: str, x: Tensor, y: Tensor) -> None:
        outputs, part = y.reshape(len(y), -1), _part(name)
        finite = outputs.isfinite().all(1)
        self._files[name] = x, outputs, finite
        for row, answer, sound in zip(x, y, finite.tolist(), strict=True):
            if self.returned(key := _key(row)) is None:  # the first answer stays
                self._known[key] = part, answer if sound else None


class RememberedRows(AnsweredRows):
    """Answered rows in memory alone, for what writes no file and counts what a study would ask."""

    def __init__(self) -> None:
        super().__init__(Path())

    def refresh(self) -> None:
        """No other process has any."""

    def _keep(self, name: str, tensors: dict[str, Tensor]) -> None:
        pass


def _part(file: str) -> str:
    """The part that a file's rows belong to."""
    return file.rpartition("-")[0]


def _key(row: Tensor) -> bytes:
    """The bytes of a row and its dtype, because the same number may be asked in several dtypes."""
    return f"{row.dtype}:".encode() + row.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
