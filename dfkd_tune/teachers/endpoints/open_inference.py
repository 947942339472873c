"""The Open Inference Protocol, version 2, of Triton, MLServer and KServe: ``/v2/models/NAME``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.features_file import MOST_FEATURES
from dfkd_tune.teachers.endpoints.client import Client, Json, Refused
from dfkd_tune.teachers.endpoints.protocols import Description, table

NUMBERS = {"FP64", "FP32", "FP16", "BF16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"}
FACTS = ("name", "versions", "platform", "inputs", "outputs")
"""Keys of the metadata that identify a model."""
ANY = -1
"""A size that the metadata leaves open."""


class OpenInference:
    """A server of the protocol.

    Args:
        client: sends requests.
        base: address of the model's metadata.
    """

    def __init__(self, client: Client, base: str) -> None:
        self.client, self.base, self.url = client, base, f"{base}/infer"
        self.inputs: list[dict[str, Any]] = []

    def describe(self) -> Description:
        """Ask for the metadata.

        Raises:
            TeacherError: there is no such model, or it takes something else than one array ``(N, D)`` or a column an input.
        """
        try:
            found = self.client.get(self.base)
        except Refused as error:
            raise TeacherError(
                self.client.source, f"tells nothing of its model: {error}", remedy="check the name of the model"
            ) from None
        try:
            about = dict(found) if isinstance(found, dict) else {}
            self.inputs = [
                {"name": str(each["name"]), "datatype": str(each["datatype"]), "shape": [int(n) for n in each["shape"]]}
                for each in about.get("inputs") or []
            ]
        except (KeyError, TypeError, ValueError):
            raise TeacherError(self.client.source, "has metadata of another form than the protocol's") from None
        facts = {key: about.get(key) for key in FACTS}
        kinds, shapes = [each["datatype"] for each in self.inputs], [each["shape"] for each in self.inputs]
        dtype = torch.float32 if kinds and all(kind in ("FP32", "FP16", "BF16") for kind in kinds) else torch.float64
        if len(self.inputs) <= 1 and all(
            len(shape) == 2 and kind in NUMBERS for shape, kind in zip(shapes, kinds, strict=True)
        ):
            rows, width = shapes[0] if shapes else (ANY, ANY)
            if width > MOST_FEATURES:
                raise TeacherError(self.client.source, f"takes {width:,} features, {MOST_FEATURES:,} at most")
            return Description(None, width if width > 0 else None, dtype, rows if rows > 0 else None, facts)
        if all(shape[1:] in ([], [1]) and len(shape) <= 2 for shape in shapes):
            names, rows = [each["name"] for each in self.inputs], max(shape[0] if shape else ANY for shape in shapes)
            return Description(names, len(names), dtype, rows if rows > 0 else None, facts)
        told = ", ".join(f"{each['name']} {each['shape']} {each['datatype']}" for each in self.inputs)
        raise TeacherError(
            self.client.source,
            f"takes {told}; a teacher takes one array (rows, features), or one column (rows, 1) an input",
            remedy="serve a model that takes its features as columns",
        )

    def bodies(self, rows: np.ndarray, names: Sequence[str] | None) -> list[Json]:
        count, width = rows.shape
        if len(self.inputs) > 1 or (self.inputs and len(self.inputs[0]["shape"]) < 2):
            told = [
                {
                    "name": each["name"],
                    "datatype": each["datatype"],
                    "shape": [count, *each["shape"][1:]],
                    "data": _data(rows[:, i].tolist(), each["datatype"]),
                }
                for i, each in enumerate(self.inputs)
            ]
        else:
            name, kind = (self.inputs[0]["name"], self.inputs[0]["datatype"]) if self.inputs else ("input-0", "FP64")
            data = _data(rows.ravel().tolist(), kind)
            told = [{"name": name, "datatype": kind, "shape": [count, width], "data": data}]
        return [{"inputs": told}]

    def answers(self, document: Json, rows: int) -> np.ndarray:
        found = document.get("outputs") if isinstance(document, dict) else None
        if not isinstance(found, list):
            raise ValueError("it holds no outputs")
        return table([_array(each) for each in found], rows)


def _array(output: Any) -> np.ndarray:
    try:
        return np.asarray(output["data"]).reshape(output["shape"])
    except (KeyError, TypeError):
        raise ValueError("an output has no shape or no data") from None


def _data(values: list[Any], kind: str) -> list[Any]:
    """Values as JSON, for a datatype of the protocol."""
    if kind == "BYTES":
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
