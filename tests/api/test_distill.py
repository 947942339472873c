"""One student in one call: every kind of teacher that a person has in memory, and what is said of an argument that does not fit."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import dfkd_tune as dt

SMALL = {"steps": 200, "budget": {"pool": 500, "bank": 300}}
FEATURES = {"load": {"mean": 3, "std": 2}, "flow": None}


def network(dtype=torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 1)).to(dtype)


def table() -> np.ndarray:
    """Rows that the features describe; what trees counted of theirs is a prior, too."""
    return np.random.default_rng(0).normal((3, 0), (2, 1), size=(400, 2))


def doubled(rows):
    return 2 * rows[:, 0] + rows[:, 1]


TEACHERS = {
    "module": network,
    "module in float64": lambda: network(torch.float64),
    "pipeline": lambda: make_pipeline(StandardScaler(), LinearRegression()).fit(table(), table()[:, 0]),
    "trees": lambda: RandomForestRegressor(3, random_state=0).fit(table(), table()[:, 0]),
    "function of tensors": lambda: lambda x: torch.sin(x[:, 0]) + x[:, 1],
    "function of arrays": lambda: lambda x: np.sin(x[:, 0]) + x[:, 1],
    "importable function": lambda: doubled,
}


@pytest.mark.parametrize("make", TEACHERS.values(), ids=TEACHERS)
def test_a_student_answers_like_its_teacher(make):
    teacher = make()
    student = dt.distill(teacher, features=FEATURES, seed=0, **SMALL)
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([2.0, 1.0]) + torch.tensor(
        [3.0, 0.0]
    )
    if isinstance(teacher, nn.Module):
        assert teacher.training and all(p.requires_grad for p in teacher.parameters())
        with torch.no_grad():
            theirs = teacher.eval()(x.to(next(teacher.parameters()).dtype)).squeeze(1)
    else:
        ask = getattr(teacher, "predict", teacher)
        theirs = torch.as_tensor(np.asarray(ask(x.numpy() if make is not TEACHERS["function of tensors"] else x)))
    with torch.no_grad():
        gap = float((student(x).squeeze(1) - theirs).square().mean().sqrt())
    assert gap == pytest.approx(student.rmse, rel=0.5)
    assert gap < 0.5 * float(theirs.std())


def test_a_budget_has_the_steps_of_its_mapping():
    steps = []
    budget = {"pool": 500, "bank": 300, "steps": 40, "batch": 20}
    dt.distill(network(), features=FEATURES, budget=budget, on_step=lambda step, rmse: steps.append(step))
    assert steps[-1] == 40


def test_the_same_call_twice_is_the_same_and_within_its_size():
    one, two = (dt.distill(network(), features=FEATURES, max_parameters=33, seed=4, **SMALL) for _ in range(2))
    assert 25 < sum(p.numel() for p in one.parameters()) <= 33
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_leaf_may_be_fixed():
    student = dt.distill(network(), features=FEATURES, fixed={"student.width": 3, "loss": {"kind": "mse"}}, **SMALL)
    assert student.network[-1].in_features == 3


def test_features_in_every_form_are_one():
    feature = dt.Feature(name="load", mean=3.0, std=2.0)
    forms = [FEATURES, {"load": feature, "flow": None}, [feature, "flow"], {"features": [feature, "flow"]}]
    students = [
        dt.distill(network(), features=form, **SMALL)
        for form in [*forms, dt.Inputs([feature, dt.Feature(name="flow")])]
    ]
    assert len({student.rmse for student in students}) == 1


def test_a_description_is_taken():

    told = dt.describe(pd.DataFrame(table(), columns=["load", "flow"]).assign(out=1.0), targets=["out"])
    assert [each["name"] for each in told.tree()["features"]] == ["load", "flow"]
    assert dt.distill(network(), features=told, **SMALL).rmse > 0


REFUSED = {
    "a number": ({"teacher": 3}, "teacher: is of type int, which is no teacher"),
    "a preset": ({"preset": "papr"}, "distill: preset: unknown preset 'papr'"),
    "a preset of another kind": ({"preset": {}}, "distill: preset: unknown preset {}"),
    "a device": ({"device": np.zeros(2)}, "distill: device: must be a text"),
    "features": ({"features": 3}, "distill: features: must be a path, a list or a mapping"),
    "a feature's key": ({"features": {"a": {"men": 1}, "b": None}}, "distill: features['a'].men: unknown key"),
    "a budget's key": ({"budget": {"step": 3}}, "distill: budget.step: unknown key"),
    "a leaf": ({"fixed": {"student.widht": 3}}, "distill: student.widht: unknown key"),
    "a section": ({"fixed": {"studnt": 3}}, "distill: fixed['studnt']: is no leaf or section of a recipe"),
    "examples": ({"example_inputs": [1.0]}, "distill: example_inputs: must be rows (N, D)"),
    "the number of features": ({"features": ["a"]}, "distill: teacher (Sequential): "),
    "layers of a module": (
        {"architecture": "layers.yaml"},
        "distill: architecture: is for a file of weights, got a teacher in memory",
    ),
    "two limits": ({"max_parameters": 9, "compression": 2.0}, "exclude each other"),
    "a table": ({"features": np.zeros((3, 2))}, "distill: features: must be a path, a list or a mapping"),
}


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_told_by_its_argument(given, words):
    with pytest.raises(dt.DfkdError) as refusal:
        dt.distill(**({"teacher": network(), "features": FEATURES} | SMALL | given))
    assert words in str(refusal.value) and len(str(refusal.value).splitlines()) == 1


def test_remedies_name_arguments(tmp_path):
    import joblib

    joblib.dump(LinearRegression().fit(table(), table()[:, 0]), tmp_path / "line.joblib")
    with pytest.raises(dt.DfkdError, match="trust_pickle=True"):
        dt.distill(tmp_path / "line.joblib")
    assert dt.distill(tmp_path / "line.joblib", trust_pickle=True, **SMALL).rmse < 0.5


class Windowed(nn.Module):
    """Takes a window of signals, and returns a dict."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.out = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, window: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.out(self.inner(window)[0][:, -1])}


def test_a_student_is_called_as_its_teacher_is():
    student = dt.distill(Windowed(), example_inputs=torch.zeros(2, 5, 2), **SMALL)
    window = torch.randn(3, 5, 2)
    assert torch.equal(student(window)["y"], student(window=window)["y"]) and student(window)["y"].shape == (3, 1)
    with pytest.raises(TypeError, match="takes "):
        student()


class Predicts:
    def predict(self, rows):
        return 2 * rows[:, 0]


def test_objects_of_other_libraries():
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV

    search = GridSearchCV(Ridge(), {"alpha": [1, 2]}).fit(table(), table()[:, 0])
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)))
    for teacher in (Predicts(), search, scripted, nn.utils.parametrizations.weight_norm(nn.Linear(2, 1))):
        assert dt.distill(teacher, features=FEATURES, **SMALL).rmse > 0


def test_names_of_a_frames_columns_are_features():

    frame = pd.DataFrame(table(), columns=["a", "b"])
    assert dt.distill(doubled, features=frame.columns, **SMALL).rmse > 0


def test_numbers_of_numpy_are_numbers():
    """As a loop over ``np.arange`` gives them."""
    given = {"features": ["a", "b"], "batch": 20, "budget": {"pool": np.int64(200), "bank": 100}}
    loop = {"steps": np.int64(20), "seed": np.int32(1), "max_parameters": np.int64(41)}
    plain = {name: int(value) for name, value in loop.items()}
    assert dt.distill(network(), **loop, **given).rmse == dt.distill(network(), **plain, **given).rmse


def test_the_student_of_a_pipeline_over_words_takes_its_data_frame():
    frame = pd.DataFrame({"load": np.arange(60) / 60, "site": ["north", "south", "east"] * 20})
    encoder = make_column_transformer((OneHotEncoder(), ["site"]), remainder="passthrough")
    teacher = make_pipeline(encoder, LinearRegression()).fit(frame, frame["load"] + (frame["site"] == "south"))
    student = dt.distill(teacher, features={"load": {"range": [0, 1]}, "site": None}, **SMALL)
    coded = torch.tensor([[0.5, 2.0], [0.25, 0.0]])  # the encoder's levels: east, north, south
    assert torch.equal(student(pd.DataFrame({"site": ["south", "east"], "load": [0.5, 0.25]})), student(coded))
    with pytest.raises(dt.DfkdError, match="column 'site': holds 'west', which is no level"):
        student(frame.assign(site="west"))


class Vector(nn.Module):
    """A teacher in float64 that returns ``(N,)``."""

    def __init__(self):
        super().__init__()
        self.inner = network(torch.float64)

    def forward(self, x):
        return self.inner(x).squeeze(1)


def test_a_student_takes_and_returns_rows_as_its_teacher_does():
    student = dt.distill(Vector(), features=FEATURES, **SMALL)
    x = torch.tensor([[3.0, 0.5], [2.0, -1.0], [5.0, 0.0]], dtype=torch.float64)
    assert student(x).shape == (3,) and student(x).dtype == torch.float64
    torch.testing.assert_close(student(x.float()), student(x))


def test_what_only_a_study_has_is_refused():
    asked = []
    with pytest.raises(dt.DfkdError, match="is the total of a study; use tune"):
        dt.distill(asked.append, features=FEATURES, budget={"total_queries": 500})
    with pytest.raises(
        dt.DfkdError, match=r"distill: budget\.trial_share: is for trials whose recipes a study trains again"
    ):
        dt.distill(asked.append, features=FEATURES, budget={"trial_share": 0.5})
    assert not asked
