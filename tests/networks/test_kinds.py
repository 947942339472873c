"""Networks of every kind: written, read by other tools and loaded as teachers, they answer as before."""

import dataclasses
import io

import onnxruntime
import pytest
import torch
import yaml
from safetensors.torch import save_file

from dfkd_tune.errors import DfkdError
from dfkd_tune.export.export import InputSchema, export
from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.kinds import ARCHITECTURES
from dfkd_tune.students.kinds import STUDENTS
from dfkd_tune.teachers.loader import load_teacher

COLUMNS = {
    None: Columns(13),
    "window": Columns(13, "window", [6, 3], [i for step in range(6) for i in (step, 6 + step, 12)]),
    "grid": Columns(13, "grid", [2, 3, 3], [i for pixel in range(6) for i in (pixel, 6 + pixel, 12)]),
}
"""Two channels, one after the other, and a constant."""
ENCODING = Encoding([float(i) for i in range(13)], [2.0] * 13)
NAMES = [f"x{i}" for i in range(13)]


@pytest.fixture(params=ARCHITECTURES)
def kind(request) -> str:
    return request.param


def made(kind: str):
    student = dataclasses.replace(STUDENTS[kind](), width=5)
    columns = COLUMNS[student.takes]
    weights = student.init_params(columns, 2, torch.Generator().manual_seed(0), torch.float64)
    shift, spread = torch.tensor([7.0, -1.0]).double(), torch.tensor([0.1, 4.0]).double()
    return student.module(weights, columns, ENCODING, shift, spread), student.layout(columns, ENCODING, 2)


def rows(count: int = 7) -> torch.Tensor:
    return torch.randn(count, 13, generator=torch.Generator().manual_seed(1)) * 3


def test_exported_files_answer_alike(kind, tmp_path):
    network, _ = made(kind)
    for name in ("pt2", "onnx"):
        export(network, InputSchema(NAMES, ENCODING, rows()), name, tmp_path / f"x.{name}")
    program = torch.export.load(io.BytesIO((tmp_path / "x.pt2").read_bytes())).module()
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 7, 300):
        x = rows(count)
        expected = network(x).detach()
        torch.testing.assert_close(program(x), expected, rtol=1e-5, atol=1e-5)
        found = torch.from_numpy(session.run(["outputs"], {"inputs": x.numpy()})[0])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_weights_are_a_teacher_with_their_architecture_file(kind, tmp_path):
    network, layout = made(kind)
    save_file(network.state_dict(), tmp_path / "x.safetensors")
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(layout))
    teacher = load_teacher(str(tmp_path / "x.safetensors"), str(tmp_path / "x.yaml"))
    torch.testing.assert_close(teacher(rows()).float(), network(rows()).detach(), rtol=1e-5, atol=1e-5)


def test_an_architecture_of_other_weights_is_refused_before_it_is_built(kind, tmp_path):
    network, layout = made(kind)
    save_file(network.state_dict(), tmp_path / "x.safetensors")
    for width in (6, 100_000):
        (tmp_path / "x.yaml").write_text(yaml.safe_dump(layout | {"width": width}))
        with pytest.raises(DfkdError, match=f"{kind} needs a tensor"):
            load_teacher(str(tmp_path / "x.safetensors"), str(tmp_path / "x.yaml"))
