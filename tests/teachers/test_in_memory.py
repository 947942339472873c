"""Teachers that a person has in memory: what they are kept as, that they stay as they are, and how they are known again."""

import logging
import re
import subprocess
import sys
from functools import cache, partial

import costly
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from tiny_studies import ROOT
from torch import nn

import dfkd_tune as dt
from dfkd_tune.api.arguments import Arguments
from dfkd_tune.layouts.signature import Argument, Signature
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.teachers.in_memory import Given, given, is_unkept, unasked

PAGE = ROOT / "docs" / "reference" / "in-memory-teachers.md"
X = np.random.default_rng(0).normal(size=(80, 2))
Y = np.sin(X[:, 0]) + X[:, 1]
WORDS = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "up", "down")})
NUMBERS, NAMED = {"a": None, "b": None}, {"a": None, "b": {"levels": ["down", "up"]}}


def network(dtype=torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1)).to(dtype).eval()


def hooked() -> nn.Module:
    module = network()
    module[0].register_forward_hook(lambda module, given, answer: 2 * answer)
    return module


class Branching(nn.Module):
    """Looks at its rows before it answers."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x):
        return self.net(x) if float(x.mean()) < 5 else 0 * self.net(x)


class OverWindows(nn.Module):
    """Takes ``(N, T, 3)``, and tells it nowhere."""

    def __init__(self):
        super().__init__()
        self.memory, self.last = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, signal):
        return self.last(self.memory(signal)[0][:, -1])


class Predicts:
    """Of no library."""

    def predict(self, rows):
        return rows[:, 0] + rows[:, 1]


def importable(rows):
    return np.sin(rows[:, 0]) + rows[:, 1]


def windowed(x):
    return np.sin(np.asarray(x)[:, :, 0]).sum(1)


def saved(folder, name="net.pt2"):
    from teacher_files import save_pt2

    module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    return save_pt2(module, folder / name, dtype=torch.float32)


def in_mlflow(folder, store):
    import mlflow

    from dfkd_tune.tracking.connection import pointed_at, quiet

    with pointed_at(store.tracking), quiet(), mlflow.start_run() as run:
        mlflow.pytorch.log_model(
            network(), name="teacher", input_example=np.zeros((2, 2), np.float32), pip_requirements=["torch"]
        )
        return f"runs:/{run.info.run_id}/teacher"


@cache
def boosted(library: str):
    """A model of boosted trees. Another fit of CatBoost has another file, which holds when it was trained."""
    if library == "xgboost":
        return pytest.importorskip("xgboost").XGBRegressor(n_estimators=4).fit(X, Y)
    if library == "lightgbm":
        return pytest.importorskip("lightgbm").LGBMRegressor(n_estimators=4, verbose=-1).fit(X, Y)
    made = pytest.importorskip("catboost").CatBoostRegressor(iterations=4, verbose=0, allow_writing_files=False)
    return made.fit(X, Y)


OVER = network(torch.float64)
TEACHERS = {
    "module": network,
    "module in float64": partial(network, torch.float64),
    "module in training mode": lambda: network().train(),
    "module with hooks": hooked,
    "module in TorchScript": lambda: torch.jit.script(network()),
    "module that `torch.export` refuses": Branching,
    "regressor": lambda: RandomForestRegressor(3, random_state=0).fit(X, Y),
    "pipeline with words": lambda: make_pipeline(
        make_column_transformer((OneHotEncoder(), ["b"]), remainder="passthrough"), Ridge()
    ).fit(WORDS, Y),
    "trees of XGBoost": lambda: boosted("xgboost"),
    "booster of XGBoost": lambda: boosted("xgboost").get_booster(),
    "trees of LightGBM": lambda: boosted("lightgbm"),
    "trees of CatBoost": lambda: boosted("catboost"),
    "grid search": lambda: GridSearchCV(Ridge(), {"alpha": [1, 2]}).fit(X, Y),
    "pipeline with a lambda": lambda: make_pipeline(FunctionTransformer(lambda x: 2 * x), Ridge()).fit(X, Y),
    "object with `predict`": Predicts,
    "importable function": lambda: sys.modules[__name__].importable,
    "function of tensors": lambda: lambda x: torch.sin(x[:, 0]) + x[:, 1],
    "function of arrays": lambda: lambda x: np.sin(x[:, 0]) + x[:, 1],
    "lambda over a module": lambda: lambda x: OVER(x),
    "method of an estimator": lambda: LinearRegression().fit(X, Y).predict,
}
GIVEN_BY_NAME = ("path", "module path", "MLflow URI")


def rows_of_the_page() -> dict[str, list[str]]:
    lines = re.findall(r"^\| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    cells = [[cell.strip() for cell in line.split("|")] for line in lines[2:]]
    return {first: rest for first, *rest in cells}


def prepared(teacher, folder, features=None, **more) -> tuple[Prepared, Given]:
    tree = {"budget": {"bank": 200, "pool": 300}, "search": {}}
    return Arguments("tune", teacher, features, more.get("example_inputs"), tree, None, False, "cpu", folder).prepared()


def told(made: Prepared, kept: Given, folder) -> list[str]:
    """The row of the page that a teacher deserves."""
    name = kept.path.removeprefix(f"{folder}/")
    if made.in_memory:
        assert kept.reason and kept.teacher is not None
        how = "-"
    else:
        assert kept.reason is None
        how = f"`.{name.rpartition('.')[2]}`" if name != kept.path else "its module path"
    return [how, "no" if made.in_memory else "yes", "yes" if made.probe.differentiable else "no"]


@pytest.fixture(autouse=True)
def importing(monkeypatch):
    """This file as a module that another process could import."""
    monkeypatch.setitem(
        sys.modules, importable.__module__, sys.modules.get(importable.__module__) or sys.modules[__name__]
    )


@pytest.mark.parametrize("name", TEACHERS)
def test_the_page_tells_what_is_kept(name, tmp_path):
    teacher = TEACHERS[name]()
    before = {k: v.clone() for k, v in teacher.state_dict().items()} if isinstance(teacher, nn.Module) else {}
    modes = [each.training for each in teacher.modules()] if before else []
    made, kept = prepared(teacher, tmp_path, NAMED if name == "pipeline with words" else NUMBERS)
    assert told(made, kept, tmp_path) == rows_of_the_page()[name]
    if before:  # it is as it was
        assert modes == [each.training for each in teacher.modules()]
        assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
        assert all(p.requires_grad for p in teacher.parameters())
    again, _ = prepared(TEACHERS[name](), tmp_path, NAMED if name == "pipeline with words" else NUMBERS)
    assert again.teacher.sha256 == made.teacher.sha256 != ""
    assert len([file for file in tmp_path.iterdir() if file.suffix != ".yaml"]) == (
        how := rows_of_the_page()[name][0]
    ).startswith("`"), how


def test_the_page_tells_of_teachers_with_a_name(tmp_path, store, finished, code, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking)
    source = code(
        "def teacher():\n    torch.manual_seed(0)\n    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))\n"
    )
    for name, teacher in zip(GIVEN_BY_NAME, (saved(tmp_path), source, in_mlflow(tmp_path, store)), strict=True):
        made, kept = prepared(teacher, tmp_path / "kept")
        assert kept == Given(str(teacher)) and not made.in_memory
        row = rows_of_the_page()[name]
        assert row == ["as it is", "yes", "yes" if made.probe.differentiable else "no"]
    assert not (tmp_path / "kept").exists()
    assert set(rows_of_the_page()) == {*TEACHERS, *GIVEN_BY_NAME}


def test_a_function_over_windows_is_kept_as_its_path_where_that_tells_its_arguments(tmp_path, monkeypatch):
    window = {"window": {"steps": 3, "channels": [{"name": "load", "mean": 3, "std": 2}]}}
    example = np.zeros((2, 3, 1))
    beside, unkept = prepared(windowed, tmp_path, window, example_inputs=example)
    assert beside.in_memory and "told by example_inputs=, and not by that attribute" in unkept.reason
    monkeypatch.setattr(windowed, "example_inputs", example, raising=False)
    made, kept = prepared(windowed, tmp_path, window)
    assert not made.in_memory and kept == Given(f"{windowed.__module__}:windowed")
    x = torch.randn(5, 3)
    torch.testing.assert_close(made.teacher(x), beside.teacher(x))
    rows, by_path = prepared(importable, tmp_path, NUMBERS, example_inputs=np.zeros((2, 2)))
    assert not rows.in_memory and by_path.path.endswith(":importable")


def test_hooks_answer_in_the_kept_file(tmp_path):
    teacher, x = hooked(), torch.randn(5, 2)
    made, _ = prepared(teacher, tmp_path, NUMBERS)
    with torch.no_grad():
        assert torch.allclose(made.teacher(x), teacher(x), atol=1e-6)
        assert not torch.allclose(made.teacher(x), network()(x), atol=1e-2)


def test_a_module_has_one_file_whatever_is_declared(tmp_path):
    declared = ({"a": {"mean": 3, "std": 2}, "b": None}, {"a": {"range": [5, 6]}, "b": {"levels": [1, 2]}}, None)
    made = [prepared(network(), tmp_path, features) for features in declared]
    assert len({found.path for _, found in made}) == len({each.teacher.sha256 for each, _ in made}) == 1


def test_an_estimator_has_one_file_in_every_process(tmp_path):
    """skops writes other bytes each time, with the addresses of objects in memory as names."""
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from sklearn.ensemble import RandomForestRegressor; from dfkd_tune.teachers.in_memory import given\n"
        "x = np.random.default_rng(0).normal(size=(80, 2)); y = np.sin(x[:, 0]) + x[:, 1]\n"
        "print(given(RandomForestRegressor(3, random_state=0).fit(x, y), Path(sys.argv[1])).path)"
    )
    own = given(TEACHERS["regressor"](), tmp_path).path
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == own
    assert given(RandomForestRegressor(3, random_state=1).fit(X, Y), tmp_path).path != own


@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost"])
def test_boosted_trees_tell_their_prior_as_their_files_do(library, tmp_path):
    made, kept = prepared(boosted(library), tmp_path)
    again, _ = prepared(kept.path, tmp_path)
    assert made.inputs.inferred is not None
    assert made.inputs.fingerprint() == again.inputs.fingerprint()
    answers = made.teacher(torch.as_tensor(X, dtype=made.teacher.dtype)).double().numpy().ravel()
    assert np.allclose(answers, boosted(library).predict(X), rtol=1e-5, atol=1e-6)


def test_boosted_trees_that_classify_are_told_as_estimators_are(tmp_path):
    model = pytest.importorskip("xgboost").XGBClassifier(n_estimators=2).fit(X, Y > 0)
    with pytest.raises(dt.DfkdError, match="answers classes"):
        prepared(model, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_another_teacher_has_another_hash(tmp_path):
    def scaled(size):
        return lambda x: size * np.sin(x[:, 0])

    one, same, other = (prepared(scaled(size), tmp_path, NUMBERS)[0].teacher.sha256 for size in (1.0, 1.0, 1.01))
    assert one == same != other


def test_a_function_is_asked_within_its_declaration_only(tmp_path):
    def strict(rows):
        if rows.min() < 2 or rows.max() > 3:
            raise KeyError("outside")
        return np.log(rows[:, 0]) * rows[:, 1]

    made, _ = prepared(strict, tmp_path, {"a": {"range": [2, 3]}, "b": {"range": [2, 3]}})
    assert made.teacher.sha256 and made.teacher.dtype == torch.float64


def test_examples_tell_the_number_of_features(tmp_path):
    made, _ = prepared(TEACHERS["function of arrays"](), tmp_path, example_inputs=X[:3])
    assert made.inputs.names == ["x0", "x1"]
    with pytest.raises(dt.DfkdError, match="its number of features cannot be found"):
        prepared(TEACHERS["function of arrays"](), tmp_path)


class Answer(nn.Module):
    """Runs a function on the answers of a network."""

    def __init__(self, function):
        super().__init__()
        self.net, self.function = network(), function

    def forward(self, x):
        return self.function(self.net(x))


REFUSED = {
    "a network without outputs": (Answer(lambda y: y[:, :0]), "answered (2, 0)"),
    "a network that ends the process": (Answer(lambda y: sys.exit(3)), "it raised SystemExit: 3"),
    "a class": (Ridge, "teacher: is the class Ridge; give an object of it"),
    "an array": (X, "teacher: is of type ndarray, which is no teacher"),
    "two arguments": (lambda a, b: a + b, "the teacher takes a of unknown shape, b of unknown shape"),
    "a state dict": (network().state_dict(), "load a state dict into its nn.Module"),
    "an estimator that is not fitted": (Ridge(), "not fitted yet"),
    "a function of frames": (lambda x: np.sqrt(pd.DataFrame(x)["c"]), "it raised KeyError: 'c'"),
}
UNNAMED = {
    "a class": (Ridge, "teacher: is the class Ridge"),
    "a class of modules": (nn.Linear, "teacher: is the class Linear"),
    "an estimator that is not fitted": (Ridge(), "is not fitted; fit it first"),
}


@pytest.mark.parametrize(("teacher", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_teacher_is_told_in_one_line(teacher, words, tmp_path):
    with pytest.raises(dt.DfkdError) as refusal:
        prepared(teacher, tmp_path, NUMBERS)
    assert words in str(refusal.value) and len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(("teacher", "words"), UNNAMED.values(), ids=UNNAMED)
def test_the_same_without_features(teacher, words, tmp_path):
    with pytest.raises(dt.DfkdError) as refusal:
        prepared(teacher, tmp_path)
    assert words in str(refusal.value)


def test_a_wrong_number_of_features_prints_no_stack(tmp_path, capfd, caplog):
    with pytest.raises(dt.DfkdError, match="check the number of features"):
        prepared(network(), tmp_path, ["a", "b", "c"])
    assert capfd.readouterr() == ("", "") and not [each for each in caplog.records if each.levelno > logging.DEBUG]


def test_a_network_over_windows_is_told_to_come_with_examples(tmp_path):
    with pytest.raises(dt.DfkdError, match="give example_inputs if it takes more than rows of numbers"):
        prepared(OverWindows(), tmp_path)


def test_a_refused_export_prints_nothing(tmp_path, capfd):
    assert "data-dependent" in given(Branching(), tmp_path, torch.randn(4, 2, dtype=torch.float64)).reason
    assert capfd.readouterr() == ("", "")


def test_what_is_asked_before_it_is_named_is_known_before(tmp_path):
    asked, rows = [], torch.zeros(2, 2, dtype=torch.float64)

    def function(x):
        asked.append(len(x))
        return x.sum(1)

    for model in (network(), function):
        teacher = unasked(model, rows, None)
        assert (teacher.width, teacher.sha256, teacher.function) == (2, "", model)
    assert not asked
    assert teacher.source == given(function, tmp_path, rows).path and asked
    for model in (LinearRegression(), "teacher.pt2", LinearRegression):
        assert unasked(model, rows, None) is None


def test_only_what_no_path_leads_to_is_in_this_process_alone():
    assert is_unkept(lambda x: x, None)
    assert not any(is_unkept(model, None) for model in (network(), costly.answer, LinearRegression(), "teacher.pt2"))
    signature = Signature.positional([Argument("x", (2,), torch.float32)])
    assert is_unkept(costly.answer, signature, torch.zeros(1, 2)) and not is_unkept(costly.answer, signature)
