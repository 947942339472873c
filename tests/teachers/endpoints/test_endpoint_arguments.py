"""An endpoint that takes several arguments: each gets its values by name, in its shape, as its datatype."""

from pathlib import Path

import pytest
import torch
from asked import fails
from processes import inferring

from dfkd_tune.errors import FeaturesError, TeacherError
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe

TOLD = {
    "count": "{range: [0, 9]}",
    "flag": "{}",
    "site": "{levels: [north, south]}",
}
SHAPES = {
    "state": "{shape: [2]}",
    "window": "{shape: [3, 2], dtype: float64}",
    "count": "{shape: [], dtype: int32, range: [0, 9]}",
    "flag": "{shape: [1], dtype: bool}",
    "half": "{shape: [2], dtype: float16}",
    "site": "{shape: [], levels: [north, south]}",
}
ARGUMENTS = "state (N, 2) float32, window (N, 3, 2) float64, count (N,) int32, flag (N, 1) bool, half (N, 2) float16, site (N,) string"


@pytest.fixture(scope="module", params=["several", "open"])
def served(request, tmp_path_factory):
    with inferring(tmp_path_factory.mktemp("server"), request.param) as address:
        yield request.param, address


def resolved(address: str, folder: Path, told: dict[str, str]):
    file = folder / "features.yaml"
    file.write_text(f"arguments: {{{', '.join(f'{name}: {what}' for name, what in told.items())}}}")
    return with_inputs(load_teacher(address), file)


def truth(layout: Layout, x: torch.Tensor) -> torch.Tensor:
    state, window, count, flag, half, site = (each.double() for each in layout.to_arguments(x))
    quality = state * window.sum((1, 2))[:, None] + count[:, None]
    return torch.cat([quality, (10 * half[:, 0] + flag[:, 0] + 5 * site)[:, None]], dim=1)


def asked(teacher, inputs) -> torch.Tensor:
    x = inputs.raw(inputs.draw(150, torch.Generator().manual_seed(0)), teacher.dtype)
    torch.testing.assert_close(teacher(x), truth(teacher.layout, x), rtol=1e-6, atol=1e-6)
    return x


def test_the_open_inference_protocol_gets_each_tensor_by_its_name(served, tmp_path):
    kind, address = served
    told = TOLD | ({"window": "{shape: [3, 2]}"} if kind == "open" else {})
    teacher, inputs = resolved(f"{address}/v2/models/m", tmp_path, told)
    shape = " -> quality (N, 2), power (N,)"
    assert str(teacher.signature) == ARGUMENTS + shape
    kinds = [each.dtype for each in teacher.layout.outputs]
    assert kinds == ([torch.float64, torch.float32] if kind == "several" else [torch.float64] * 2)
    x = asked(teacher, inputs)
    assert set(x[:, -1].tolist()) == {0, 1} and inputs.features[-1].labels == ["north", "south"]
    found = probe(teacher, inputs)
    assert (found.outputs, found.kind) == (3, "black box")


def test_the_scoring_protocol_gets_the_arguments_of_the_features_file(served, tmp_path):
    teacher, inputs = resolved(f"{served[1]}/invocations", tmp_path, SHAPES)
    assert str(teacher.signature) == f"{ARGUMENTS} -> quality (N, 2), power (N,)"
    asked(teacher, inputs)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            {"site": "{levels: [1, 2]}"},
            ["takes site (N,) string", "'site' is declared as a number", "levels: [red, blue]"],
        ),
        ({"site": "{levels: [north, null]}"}, ["site (N,) string, which cannot be missing"]),
        ({"site": "{}"}, ["nothing says which words occur", "arguments: {site: {levels: [red, blue]}}"]),
        ({"state": "{levels: [low, high]}"}, ["has words as levels", "takes state (N, 2) float32"]),
        ({"count": "{levels: [low, high]}"}, ["count (N,) int32, which takes whole numbers alone"]),
        ({"sites": "{}"}, ["takes no such argument", "known arguments: state, window"]),
    ],
)
def test_words_that_do_not_fit_are_told(served, tmp_path, told, words):
    kind, address = served
    if kind == "several":
        with fails("features.yaml", *words, kind=FeaturesError):
            resolved(f"{address}/v2/models/m", tmp_path, TOLD | told)


def test_an_output_that_the_metadata_promise_and_nobody_answers(tmp_path):
    with (
        inferring(tmp_path, "promised") as address,
        fails(address, "answers power, quality", "tell of quality, power, third", kind=TeacherError),
    ):
        teacher, inputs = resolved(f"{address}/v2/models/m", tmp_path, TOLD)
        probe(teacher, inputs)
