"""A registered student whose teacher takes tensors: arrays by name, in Python and over HTTP."""

import importlib.util
import json
import warnings

import mlflow
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.pyfunc import scoring_server
from torch import nn

from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.nested import Leaf
from dfkd_tune.layouts.signature import Argument, Output, Signature
from dfkd_tune.registry import model_files as files

ARGUMENTS = Argument("signal", (2, 2), torch.float32), Argument("region", (), torch.int64)
OUTPUTS = Output("quality", (2,), torch.float32), Output("power", (1, 1), torch.float32)
DICTS = Layout(
    Signature(
        ARGUMENTS,
        (({"signal": Leaf(0), "region": Leaf(1)},), {}),
        OUTPUTS,
        {"quality": Leaf(0), "power": Leaf(1)},
        ("batch",),
    )
)
SINGLE = Layout(Signature.positional(ARGUMENTS[:1], OUTPUTS[:1]))
SIGNAL, REGION = np.arange(12, dtype=np.float32).reshape(3, 2, 2), np.array([0, 3, 3])


class Sums(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, :4].sum(1), x[:, -1], x[:, 0]], dim=1)


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2] * 2


class Present(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2].nan_to_num(0.0) * 1


def saved(folder, network, layout, gapped=(), levels=None):
    width = layout.width
    result = {
        "features": layout.names,
        "outputs": sum(each.width for each in layout.outputs),
        "dtype": "float32",
        "levels": {"region": layout.arguments[1].words or [0.0, 3.0]} if width == 5 else levels or {},
        "gapped": [*gapped],
        "example": [[0.0] * width] * 2,
        "layout": layout.tree(),
    }
    files.save(folder, network.eval(), result, Model())
    return mlflow.pyfunc.load_model(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("models") / "dicts", Sums(), DICTS)


def test_arguments_are_arrays_by_name(model):
    found = model.predict({"region": REGION, "signal": SIGNAL})
    assert [*found] == ["quality", "power"]
    np.testing.assert_allclose(found["quality"], np.stack([SIGNAL.sum((1, 2)), REGION], 1))
    np.testing.assert_allclose(found["power"], SIGNAL[:, :1, :1])


def test_the_signature_names_arguments_and_outputs(model):
    told = model.metadata.signature
    assert [(e.name, e.shape, e.type.name) for e in told.inputs.inputs] == [("signal", (-1, 2, 2), "float32"), ("region", (-1,), "int64")]  # fmt: skip
    assert [(e.name, e.shape) for e in told.outputs.inputs] == [("quality", (-1, 2)), ("power", (-1, 1, 1))]
    assert set(model.input_example) == {"signal", "region"}


def test_requests_hold_tensors(model):
    body = json.dumps({"inputs": {"signal": SIGNAL.tolist(), "region": REGION.tolist()}})
    asked = scoring_server.invocations(body, "application/json", model, model.metadata.get_input_schema())
    assert json.loads(asked.response)["predictions"]["quality"] == [[6, 0], [22, 3], [38, 3]]


def test_the_program_inside_takes_what_the_teacher_takes(model, tmp_path_factory):
    folder = next(tmp_path_factory.getbasetemp().glob("models*/dicts"))
    network = mlflow.pytorch.load_model(str(folder))
    found = network({"signal": torch.from_numpy(SIGNAL), "region": torch.from_numpy(REGION)})
    assert found["power"].shape == (3, 1, 1)


def test_the_only_argument_needs_no_name(tmp_path):
    made = saved(tmp_path / "single", Pair(), SINGLE)
    np.testing.assert_allclose(made.predict(SIGNAL), SIGNAL.reshape(3, 4)[:, :2] * 2)


def test_words_are_sent_as_words(tmp_path):
    arguments = ARGUMENTS[0], Argument("region", (), torch.int64, words=("red", "blue"))
    made = saved(tmp_path / "words", Sums(), Layout(Signature.positional(arguments, OUTPUTS)))
    told = made.metadata.signature.inputs.inputs
    assert [(each.name, each.type.name) for each in told] == [("signal", "float32"), ("region", "str")]
    assert set(made.input_example["region"]) == {"red"}
    found = made.predict({"signal": SIGNAL, "region": np.array(["red", "blue", "blue"])})
    np.testing.assert_allclose(found["quality"][:, 1], [0, 1, 1])
    body = json.dumps({"inputs": {"signal": SIGNAL.tolist(), "region": ["red", "blue", "blue"]}})
    asked = scoring_server.invocations(body, "application/json", made, made.metadata.get_input_schema())
    assert json.loads(asked.response)["predictions"]["quality"] == [[6, 0], [22, 1], [38, 1]]
    with pytest.raises(MlflowException, match="argument 'region': holds 'green', which is no level; known: red, blue"):
        made.predict({"signal": SIGNAL, "region": np.array(["red", "green", "blue"])})


@pytest.mark.parametrize(("dtype", "kind"), [("float16", "float16"), ("float64", "float64"), ("bfloat16", "float32")])
def test_outputs_have_the_dtype_of_the_teacher(tmp_path, dtype, kind):
    outputs = Output("quality", (2,), getattr(torch, dtype)), OUTPUTS[1]
    made = saved(tmp_path / "short", Sums(), Layout(Signature.positional(ARGUMENTS, outputs)))
    found = made.predict({"signal": SIGNAL, "region": REGION})
    assert [each.dtype.name for each in found.values()] == [kind, "float32"]
    assert [each.type.name for each in made.metadata.signature.outputs.inputs] == [kind, "float32"]
    body = json.dumps({"inputs": {"signal": SIGNAL.tolist(), "region": REGION.tolist()}})
    asked = scoring_server.invocations(body, "application/json", made, made.metadata.get_input_schema())
    assert json.loads(asked.response)["predictions"]["quality"] == [[6, 0], [22, 3], [38, 3]]


def test_numbers_are_missing_where_that_is_declared(tmp_path):
    made = saved(tmp_path / "gaps", Present(), SINGLE, ["signal[0,1]"])
    holed = SIGNAL.copy()
    holed[1, 0, 1] = np.nan
    np.testing.assert_allclose(made.predict(holed), np.nan_to_num(holed).reshape(3, 4)[:, :2])
    with pytest.raises(MlflowException, match="value 'signal\\[1,1\\]': is missing"):
        made.predict(np.where(SIGNAL == 3, np.nan, SIGNAL))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_levels_are_met_in_the_dtype_of_their_argument(tmp_path, kind):
    argument = Argument("signal", (2, 2), getattr(torch, kind))
    levels = {"signal[0,0]": [0.1, 0.3, 0.7]}
    made = saved(tmp_path, Pair(), Layout(Signature.positional((argument,), OUTPUTS[:1])), levels=levels)
    signal = SIGNAL.astype(kind)
    signal[:, 0, 0] = [0.1, 0.3, 0.7]
    np.testing.assert_allclose(made.predict(signal)[:, 0], [0.2, 0.6, 1.4], rtol=1e-3)
    with pytest.raises(MlflowException, match=r"which is no level; known: 0\.1, 0\.3, 0\.7"):
        made.predict(signal + signal.dtype.type(0.01))


def test_a_missing_level_is_taken_beside_the_declared_numbers(tmp_path):
    made = saved(tmp_path, Present(), SINGLE, levels={"signal[0,0]": [0.0, 4.0, 8.0, None]})
    absent = np.where(SIGNAL == 4, np.nan, SIGNAL).astype(np.float32)
    assert made.predict(absent).tolist() == [[0, 1], [0, 5], [8, 9]]
    with pytest.raises(MlflowException, match="value 'signal\\[0,0\\]': is 5, which is no level; known: 0, 4, 8"):
        made.predict(SIGNAL + np.float32(SIGNAL == 4))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"signal": SIGNAL}, ["region"]),
        ({"signal": SIGNAL[:, :1], "region": REGION}, ["signal", "(3, 1, 2)"]),
        ({"signal": SIGNAL, "region": REGION[:2]}, ["different numbers of rows: signal 3, region 2"]),
        ({"signal": SIGNAL * np.nan, "region": REGION}, ["signal[0,0]", "is missing", "knows no missing values"]),
        ({"signal": np.full_like(SIGNAL, np.inf), "region": REGION}, ["signal", "missing or infinite"]),
        ({"signal": SIGNAL, "region": REGION * np.nan}, ["region", "missing or infinite"]),
        ({"signal": SIGNAL, "region": REGION + 1}, ["region", "is 1, which is no level", "0, 3"]),
        ({"signal": SIGNAL, "region": REGION + 0.5}, ["region", "takes int64, holds 0.5"]),
    ],
)
def test_arguments_that_do_not_fit_are_told(model, given, words):
    with pytest.raises((MlflowException, KeyError)) as caught:
        model.unwrap_python_model().predict(None, given)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("code", [files.CODE, files.DROP_IN], ids=lambda code: code.stem)
def test_mlflow_has_nothing_to_warn_of(code):
    """MLflow looks at the type of ``predict`` when the class is made, and sets its own filter of warnings."""
    spec = importlib.util.spec_from_file_location(f"fresh_{code.stem}", code)
    with warnings.catch_warnings(record=True) as told:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert not [str(each.message) for each in told]


def test_a_call_has_the_order_of_the_teachers_dicts():
    """``torch.export`` compares the order of keys, which the metadata of a model lose."""
    from dfkd_tune.registry.served_drop_in import filled

    sorted_by_name = {"dict": {"b": {"dict": {"c": {"leaf": 1}}}, "b.c": {"leaf": 0}, "k": {"constant": 3}}}
    found = filled(sorted_by_name, ["first", "second"])
    assert [*found.items()] == [("b.c", "first"), ("b", {"c": "second"}), ("k", 3)]
