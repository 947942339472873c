"""The Open Inference Protocol, version 2, of Triton, MLServer and KServe: ``/v2/models/NAME``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.arguments import CODES, MOST_FEATURES
from dfkd_tune.layouts.nested import Leaf
from dfkd_tune.layouts.signature import Argument, Output, Signature, dtype_name
from dfkd_tune.teachers.endpoints.client import Client, Json, Refused
from dfkd_tune.teachers.endpoints.protocols import Batch, Description, numbers

WORDS = "BYTES"
"""The datatype of words."""
FLOATS = {"FP64": torch.float64, "FP32": torch.float32, "FP16": torch.float16, "BF16": torch.bfloat16}
DTYPES = (
    FLOATS
    | {"BOOL": torch.bool, "INT64": torch.int64, "INT32": torch.int32, "INT16": torch.int16, "INT8": torch.int8}
    # PyTorch computes little with wide unsigned numbers; a wider signed dtype holds them.
    | {"UINT8": torch.uint8, "UINT16": torch.int32, "UINT32": torch.int64, "UINT64": torch.int64}
)
"""Datatype of the protocol -> dtype of the argument or output."""
SENT = {"f": "FP64", "i": "INT64", "u": "INT64", "b": "BOOL", "O": WORDS, "U": WORDS}
"""Kind of an array's dtype -> its datatype, for a server that declares none."""
FACTS = ("name", "versions", "platform", "inputs", "outputs")
"""Keys of the metadata that identify a model."""
ANY = -1
"""A size that the metadata leaves open."""


@dataclass(frozen=True)
class Tensor:
    """A tensor in the metadata of a model.

    Args:
        name: its name.
        datatype: its datatype, such as ``FP32``.
        shape: its shape with the batch, which is its first size; ``ANY`` where a size is open.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def column(self) -> bool:
        """Whether it may be a column of a table: one value a row."""
        return self.shape[1:] in ((), (1,)) and len(self.shape) <= 2

    @property
    def row(self) -> tuple[int, ...] | None:
        """The shape of one row; None if a size of it is open."""
        return None if ANY in self.shape[1:] else self.shape[1:]

    def __str__(self) -> str:
        return f"{self.name} {[*self.shape]} {self.datatype}"


class OpenInference:
    """A server of the protocol.

    Args:
        client: sends requests.
        base: address of the model's metadata.
    """

    def __init__(self, client: Client, base: str) -> None:
        self.client, self.base, self.url = client, base, f"{base}/infer"
        self.inputs: list[Tensor] = []

    def describe(self) -> Description:
        """Ask for the metadata.

        Several inputs of one value a row are the columns of a table; other inputs are arguments.

        Raises:
            TeacherError: there is no such model, or an input or output of it holds something else than numbers or words.
        """
        source = self.client.source
        try:
            found = self.client.get(self.base)
        except Refused as error:
            raise TeacherError(
                source, f"tells nothing of its model: {error}", remedy="check the name of the model"
            ) from None
        about = dict(found) if isinstance(found, dict) else {}
        self.inputs, outputs = _tensors(source, about.get("inputs")), _tensors(source, about.get("outputs"))
        facts = {key: about.get(key) for key in FACTS}
        kinds = {each.datatype for each in self.inputs}
        if unknown := [each for each in self.inputs if each.datatype not in (*DTYPES, WORDS)]:
            known = ", ".join((*DTYPES, WORDS))
            raise TeacherError(source, f"takes {unknown[0]}, a teacher takes {known}", remedy="serve another model")
        batches = [each.shape[0] for each in self.inputs if each.shape and each.shape[0] > 0]
        rows = max(batches, default=None)
        narrow = bool(kinds) and kinds <= FLOATS.keys() - {"FP64"}
        dtype = torch.float32 if narrow else torch.float64
        if len(self.inputs) > 1 and all(each.column for each in self.inputs):
            columns = {each.name: _kind(each) for each in self.inputs}
            return Description([*columns], columns, None, dtype, rows, facts)
        return Description(None, {}, _signature(source, self.inputs, outputs), dtype, rows, facts)

    def bodies(self, batch: Batch) -> list[Json]:
        if not batch.table:
            told = {each.name: each.datatype for each in self.inputs}
            names, arrays = [*(batch.names or ())], batch.arrays
            kinds = [told.get(name) or SENT[array.dtype.kind] for name, array in zip(names, arrays, strict=True)]
        elif len(self.inputs) > 1:
            rows, names, kinds = batch.arrays[0], [e.name for e in self.inputs], [e.datatype for e in self.inputs]
            arrays = tuple(rows[:, i].reshape(len(rows), *e.shape[1:]) for i, e in enumerate(self.inputs))
        else:
            only = self.inputs[0] if self.inputs else Tensor("input-0", "FP64", (ANY, ANY))
            names, kinds, arrays = [only.name], [only.datatype], batch.arrays
        parts = zip(names, kinds, arrays, strict=True)
        return [{"inputs": [_input(name, kind, array) for name, kind, array in parts]}]

    def answers(self, document: Json, rows: int) -> dict[str, np.ndarray]:
        found = document.get("outputs") if isinstance(document, dict) else None
        if not isinstance(found, list) or not found:
            raise ValueError("it holds no outputs")
        try:
            return {
                str(each.get("name", i)): numbers(np.asarray(each["data"]).reshape(each["shape"]), rows)
                for i, each in enumerate(found)
            }
        except (AttributeError, KeyError, TypeError, OverflowError):
            raise ValueError("an output has no shape or no data") from None


def _kind(column: Tensor) -> str:
    """The name of a column's dtype, or ``string``."""
    return "string" if column.datatype == WORDS else dtype_name(DTYPES[column.datatype])


def _tensors(source: str, told: Any) -> list[Tensor]:
    """The tensors in a list of the metadata."""
    try:
        return [
            Tensor(str(each["name"]), str(each["datatype"]), tuple(int(n) for n in each["shape"]))
            for each in told or []
        ]
    except (KeyError, TypeError, ValueError):
        raise TeacherError(source, "has metadata of another form than the protocol's") from None


def _signature(source: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Signature | None:
    """The arguments and outputs; None without any inputs. Several outputs are a dict by name.

    Raises:
        TeacherError: it takes too many values, or answers something else than numbers.
    """
    if not inputs:
        return None
    arguments = []
    for each in inputs:
        words = () if each.datatype == WORDS else None
        arguments.append(Argument(each.name, each.row, CODES if words == () else DTYPES[each.datatype], words=words))
    if (width := sum(each.width for each in arguments)) > MOST_FEATURES:
        raise TeacherError(source, f"takes {width:,} values, {MOST_FEATURES:,} at most", remedy="serve a smaller model")
    whole = [each for each in outputs if each.datatype not in FLOATS]
    if whole:
        rule = f"its output {whole[0]} holds no real numbers; a teacher must answer these, not classes"
        raise TeacherError(source, rule, remedy="serve a regression model, without this output")
    bare = Signature.positional(arguments)
    if not outputs or any(each.row is None or not each.shape for each in outputs):
        return bare  # the first answer shows more
    known = tuple(Output(each.name, each.shape[1:], FLOATS[each.datatype]) for each in outputs)
    returns = Leaf(0) if len(known) == 1 else {each.name: Leaf(i) for i, each in enumerate(known)}
    return Signature(bare.arguments, bare.call, known, returns)


def _input(name: str, kind: str, array: np.ndarray) -> dict[str, Any]:
    """An input of a request, its values one after the other."""
    return {"name": name, "datatype": kind, "shape": [*array.shape], "data": _data(array.ravel().tolist(), kind)}


def _data(values: list[Any], kind: str) -> list[Any]:
    """Values as JSON, for a datatype of the protocol."""
    if kind == WORDS:
        return [str(value) for value in values]
    for value in values:
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"the protocol holds numbers alone for {kind}, not {value!r}")
    if kind == "BOOL":
        return [bool(value) for value in values]
    if "INT" in kind:
        if any(value != round(value) for value in values):
            raise ValueError(f"{kind} holds whole numbers: declare integer: true")
        return [int(value) for value in values]
    return [float(value) for value in values]
