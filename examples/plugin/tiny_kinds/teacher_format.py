"""A teacher format: one weight matrix in a safetensors file, behind a tanh."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.formats.base import TeacherFormat


def load_flat(path: Path, architecture: Path | None, trust_pickle: bool) -> Teacher:
    data = path.read_bytes()
    try:
        weight = load(data)["weight"]
    except (SafetensorError, KeyError) as error:
        raise TeacherError(path, f"holds no tensor 'weight': {error}", remedy="save it again") from None
    return Teacher(
        str(path), lambda x: torch.tanh(x @ weight.to(x)), torch.float32, hash_bytes(data), width=len(weight)
    )


FLAT = TeacherFormat((".flat",), load_flat)
