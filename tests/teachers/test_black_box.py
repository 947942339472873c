"""Functions of arrays and fitted estimators as teachers: which form a function takes, and whose failure is told."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from asked import fails as told
from sklearn.linear_model import LinearRegression, LogisticRegression

from dfkd_tune.errors import TeacherError
from dfkd_tune.teachers.black_box import OfEither, as_tensors, from_estimator, from_numpy
from dfkd_tune.teachers.metering.meter import Meter, metered

fails = partial(told, kind=TeacherError)
X = torch.arange(6.0, dtype=torch.float64).view(3, 2)


def test_an_answer_is_memory_of_its_own():
    """A function may return its argument, or a buffer that it uses again."""
    buffer = np.zeros(3)
    for function in (lambda x: x, lambda x: buffer):
        answer = from_numpy(function)(X)
        answer.fill_(9.0)
        assert X.max() == 5.0 and buffer.max() == 0.0


def test_a_function_of_tensors_keeps_its_gradients():
    either, x = OfEither(lambda x: x.square().sum(1)), X.clone().requires_grad_()
    assert torch.equal(torch.autograd.grad(either(x).sum(), x)[0], 2 * X) and not either.takes_arrays
    assert not OfEither(lambda x: x.square())(X).requires_grad


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sin(x).sum(1),
        lambda x: pd.DataFrame(x).sum(axis=1),
        lambda x: [float(row.sum()) for row in np.asarray(x)],
    ],
    ids=["numpy", "pandas", "list"],
)
def test_a_function_of_arrays_gets_arrays(function):
    either = OfEither(function)
    expected = torch.from_numpy(np.array(function(X.numpy())))
    for x in (X.clone().requires_grad_(), X):
        assert torch.equal(either(x), expected) and either.takes_arrays


@pytest.mark.parametrize("arrays", [True, False])
def test_what_a_function_takes_is_asked_once_where_its_rows_are_counted(arrays):
    asked, meter = [], Meter()

    def function(x):
        asked.append(len(x))
        return np.sin(x).sum(1) if arrays else x.square().sum(1)

    with metered(meter):
        first, second = OfEither(function), OfEither(function)
    expected = first(X)
    assert meter.takes_arrays is first.takes_arrays is arrays and meter.asked == 1 and sum(asked) == 1 + len(X)
    assert torch.equal(second(X), expected) and second.takes_arrays is arrays
    assert meter.asked == 1 and sum(asked) == 1 + 2 * len(X)


def test_the_first_call_decides():
    seen = []

    def function(x):
        seen.append(type(x))
        return np.asarray(x).sum(1) if isinstance(x, np.ndarray) else len(seen)

    either = OfEither(function)
    for _ in range(3):
        either(X)
    assert seen == [torch.Tensor, np.ndarray, np.ndarray, np.ndarray]


def test_the_failure_on_tensors_is_told_unless_it_is_about_arrays():
    def of_tensors(x):
        raise ValueError("a tensor of 3 columns is needed" if isinstance(x, torch.Tensor) else "an array")

    def of_arrays(x):
        return 1 / 0 if isinstance(x, np.ndarray) else x.numpy()

    with pytest.raises(ValueError, match="a tensor of 3 columns"):
        OfEither(of_tensors)(X)
    with pytest.raises(ZeroDivisionError):
        OfEither(of_arrays)(X)


def test_arguments_and_answers_may_be_nested():
    def function(signal, *, about):
        assert isinstance(signal, np.ndarray) and isinstance(about["k"], np.ndarray)
        return {"y": signal.sum(1), "z": (about["k"], [1.0, 2.0, 3.0])}

    found = OfEither(function)(X, about={"k": X[:, 0]})
    assert torch.equal(found["y"], X.sum(1)) and torch.equal(found["z"][0], X[:, 0])


@pytest.mark.parametrize("returned", ["cat", ["cat", "dog"], {"y": None}, (np.array(["a"]),)])
def test_what_holds_no_numbers_is_told(returned):
    with pytest.raises(TypeError, match="holds no numbers"):
        as_tensors(returned)
    assert as_tensors({"y": (pd.Series([1, 2]), True)})["y"][0].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (object(), ["holds a object, which has no predict", "save a fitted regressor"]),
        (LogisticRegression(), ["LogisticRegression, which answers classes, not numbers", "predict_proba"]),
    ],
)
def test_what_is_no_regressor_is_told(estimator, words):
    with fails("model.pkl", *words):
        from_estimator("model.pkl", estimator, "sha")


@pytest.mark.filterwarnings("error")
def test_an_estimator_of_a_data_frame_answers_rows_without_a_warning():
    frame = pd.DataFrame(X.numpy(), columns=["a", "b"])
    fitted = LinearRegression().fit(frame, [1.0, 2.0, 4.0])
    teacher = from_estimator("t", fitted, "sha")
    assert teacher.width == 2
    torch.testing.assert_close(teacher(X)[:, 0], torch.from_numpy(fitted.predict(frame)))


def test_any_object_that_predicts_will_do():
    class Own:
        def predict(self, x):
            return x[:, 0]

    teacher = from_estimator("t", Own(), "sha")
    assert teacher.width is None and torch.equal(teacher(X)[:, 0], X[:, 0])


def test_finding_out_what_a_function_takes_warns_of_nothing(recwarn):
    def function(x):
        warnings.warn("of tensors", DeprecationWarning, stacklevel=1) if torch.is_tensor(x) else None
        return np.sin(x[:, 0]) + np.asarray(x)[:, 1]

    OfEither(function)(X)
    assert not recwarn.list
