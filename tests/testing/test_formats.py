"""Formats that lose names, outputs or bytes fail."""

import json

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.export.formats.kinds import EXPORTS
from dfkd_tune.export.formats.safetensors import SafeTensors
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.formats import file_parts
from dfkd_tune.teachers.formats.base import TeacherFormat
from dfkd_tune.teachers.formats.kinds import FORMATS
from dfkd_tune.testing import check_export, check_teacher_format


class Renamed(SafeTensors):
    """Numbers the features."""

    def feature_names(self, data):
        return [f"x{i}" for i in range(len(super().feature_names(data)))]


class Sorted(SafeTensors):
    """Loses the order of the names."""

    def feature_names(self, data):
        return sorted(super().feature_names(data))


class Ascii(SafeTensors):
    """Drops what is not ASCII."""

    def feature_names(self, data):
        return [name.encode("ascii", "ignore").decode() for name in super().feature_names(data)]


class Same(SafeTensors):
    """Answers by the network it is given instead of the file."""

    def read(self, data, module):
        return module


class Rounded(SafeTensors):
    """Keeps half precision."""

    def write(self, module, schema):
        halves = {name: value.half().float() for name, value in module.state_dict().items()}
        return save(halves, metadata={"features": json.dumps(schema.names)})


@pytest.mark.parametrize(
    "wrong, told",
    [
        (Renamed, "does not hold the feature names"),
        (Sorted, "does not hold the feature names"),
        (Ascii, "does not hold the feature names"),
        (Same, "Tensor-likes are not close"),
        (Rounded, "Tensor-likes are not close"),
    ],
)
def test_an_export_format_keeps_names_and_outputs(register, wrong, told):
    with register(EXPORTS, wrong()), pytest.raises(AssertionError, match=told):
        check_export("wrong")


def answers(weight):
    return lambda x: torch.tanh(x @ weight.to(x))


def right(path, architecture, trust_pickle):
    try:
        weight, data = load_file(path)["weight"], path.read_bytes()
        beside = load_file(path.with_name("bias.part"))["bias"]
    except Exception as error:
        raise TeacherError(path, f"is damaged: {error}") from None
    sha256 = file_parts.hash_files(data, {"bias.part": path.with_name("bias.part").read_bytes()})
    return Teacher(str(path), lambda x: answers(weight)(x) + beside, torch.float32, sha256, width=3)


def changed(**values):
    """The right loader, with another hash: a function of the path."""
    make = values["sha256"]

    def loader(path, architecture, trust_pickle):
        made = right(path, architecture, trust_pickle)
        return Teacher(made.source, made.function, made.dtype, make(path), width=3)

    return loader


def strict(path, architecture, trust_pickle):
    """Lets the library's own error out."""
    load(path.read_bytes())
    return right(path, architecture, trust_pickle)


@pytest.mark.parametrize(
    "loader, told",
    [
        (right, None),
        (changed(sha256=lambda path: hash_bytes(path.read_bytes())), "of bias.part does not count"),
        (changed(sha256=lambda path: hash_bytes(path.with_name("bias.part").read_bytes())), "of net.flat does not"),
        (changed(sha256=lambda path: hash_bytes(path.read_bytes()[:64])), "does not count"),
        (changed(sha256=lambda path: hash_bytes(str(path).encode())), "another folder"),
        (changed(sha256=lambda path: hash_bytes(str(path.stat().st_mtime_ns).encode())), "another folder"),
        (changed(sha256=lambda path: "unknown"), ""),
        (strict, "SafetensorError"),
    ],
    ids=["right", "no parts", "parts alone", "head alone", "path", "time", "no hash", "raises"],
)
def test_every_byte_of_a_teacher_is_in_its_hash(register, tmp_path, loader, told):
    weight, bias = torch.randn(3, 1, generator=torch.Generator().manual_seed(0)), torch.ones(1)
    save_file({"weight": weight}, tmp_path / "net.flat")
    save_file({"bias": bias}, tmp_path / "bias.part")

    class Saved(nn.Module):
        def forward(self, x):
            return answers(weight)(x) + bias

    check = (tmp_path / "net.flat", Saved(), 3, [tmp_path / "bias.part"])
    with register(FORMATS, TeacherFormat((".flat",), loader)):
        if told is None:
            return check_teacher_format(*check)
        with pytest.raises((AssertionError, SafetensorError)) as failed:
            check_teacher_format(*check)
    assert told in f"{type(failed.value).__name__}: {failed.value}"
