"""What every strategy of every registry must do, by its mere presence there."""

import onnx
import pytest
import skops.io
import torch
from sklearn.linear_model import LinearRegression
from teacher_files import ROWS, network

from dfkd_tune.export.formats.kinds import EXPORTS
from dfkd_tune.recipes.recipe import SECTIONS
from dfkd_tune.testing import bounds, formats, generators, initializers, strategies, students
from dfkd_tune.testing.problems import make_problem

STUDENTS, GENERATORS, GAP_BOUNDS = SECTIONS["student"], SECTIONS["generator"], SECTIONS["bound"]
INPUT_BOUNDS, ALPHAS, OPTIMIZERS = SECTIONS["input_bound"], SECTIONS["alpha"], SECTIONS["optimizer"]
STRATEGIES = [
    pytest.param(section, kind, id=f"{section}-{kind}") for section, kinds in SECTIONS.items() for kind in kinds
]


@pytest.fixture(scope="module")
def problem():
    return make_problem()


@pytest.mark.parametrize("law", strategies.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("section, kind", STRATEGIES)
def test_strategy(section, kind, law):
    law(section, kind)


@pytest.mark.parametrize("law", generators.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", GENERATORS)
def test_generator(kind, law):
    law(kind)


@pytest.mark.parametrize("law", bounds.GAP_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", GAP_BOUNDS)
def test_gap_bound(kind, law):
    law(kind)


@pytest.mark.parametrize("law", bounds.INPUT_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", INPUT_BOUNDS)
def test_input_bound(kind, law):
    law(kind)


@pytest.mark.parametrize("law", students.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", STUDENTS)
def test_student(kind, law):
    law(kind)


@pytest.mark.parametrize("law", initializers.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", SECTIONS["initializer"])
def test_initializer(kind, law):
    law(kind)


@pytest.mark.parametrize("law", formats.EXPORT_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", EXPORTS)
def test_export(kind, law):
    if kind == "litert":  # `make test-litert` has an environment for its extra
        pytest.importorskip("litert_torch")
    law(kind)


@pytest.mark.parametrize("name", ["net.pt2", "net.safetensors", "state.pt", "script.pt", "net.onnx", "net.skops"])
def test_teacher_format(name, files, tmp_path):
    folder, parts, answers = files["net.pt2"].parent, [], network().eval()
    if name == "net.onnx":
        folder = tmp_path
        batch = {"x": {0: "batch"}}
        torch.onnx.export(answers, (ROWS[:2],), folder / name, dynamo=False, input_names=["x"], dynamic_axes=batch)
        onnx.save_model(
            onnx.load(folder / name), folder / name, save_as_external_data=True, location="data", size_threshold=0
        )
        parts = [folder / "data"]
    if name == "net.skops":
        folder = tmp_path
        fitted = LinearRegression().fit(ROWS.numpy(), ROWS.numpy() @ [[1.0], [2.0], [-1.0]])
        skops.io.dump(fitted, folder / name)
        answers = Fitted(fitted)
    described = folder / "architecture.yaml" if name in ("net.safetensors", "state.pt") else None
    formats.check_teacher_format(folder / name, answers, 3, parts, described)


class Fitted(torch.nn.Module):
    """An estimator as a module."""

    def __init__(self, fitted: LinearRegression):
        super().__init__()
        self.fitted = fitted

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.fitted.predict(x.numpy()))
