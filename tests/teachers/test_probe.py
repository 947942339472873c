"""The probe: what it finds out about a teacher, and what it refuses before anything is distilled."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from teacher_files import FEATURES, OUTPUTS, ROWS, THREE, fails, network, save_pt2
from torch import nn

from dfkd_tune.errors import TeacherError
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.teachers.base import Teacher, freeze
from dfkd_tune.teachers.black_box import from_numpy
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.metering.meter import Meter, metered
from dfkd_tune.teachers.probe import GAP_ROWS, probe

OTHERS = ["each row by itself", "depends on the other rows", "from its row alone"]


def call(function) -> Teacher:
    return Teacher("here", function, torch.float32, "")


def test_probe_reports_what_it_found():
    found = probe(call(lambda x: torch.stack([x.sum(1), x.prod(1)], dim=1)), THREE)
    assert (found.features, found.outputs, found.differentiable) == (FEATURES, 2, True)
    assert found.rows_per_second > 0


def test_speed_is_that_of_the_forward_pass():
    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum(1)

        @staticmethod
        def backward(ctx, gradient):
            import time

            time.sleep(0.2)
            return gradient[:, None].expand(-1, FEATURES)

    assert probe(call(Slow.apply), THREE).rows_per_second > 512 / 0.1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.from_numpy(np.sin(x.detach().numpy()).sum(1)),
        lambda x: x.detach().sum(1),
        lambda x: x.round().sum(1),
        lambda x: x.abs().sqrt().sum(1).nan_to_num() + 0 * (x * 0).sqrt().sum(1),
    ],
    ids=["numpy", "detached", "steps", "infinite slope"],
)
def test_teachers_without_usable_gradients_are_black_boxes(function):
    assert probe(call(function), THREE).differentiable is False


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: (x.sum(1), x.sum(1)), ["one tensor", "tuple"]),
        (lambda x: x.sum(1).tolist(), ["one tensor", "list"]),
        (lambda x: x.sum(), ["(2, outputs)", "()"]),
        (lambda x: x.sum(0), ["(2, outputs)", "(3, 1)"]),
        (lambda x: x[:, :, None], ["(2, outputs)", "(2, 3, 1)"]),
        (lambda x: x[:3].sum(1), ["7 rows", "(3, 1)", "(7, 1)"]),
        (lambda x: x.reshape(2, FEATURES).sum(1), ["fixed batch size", "1 row failed", "dynamic batch"]),
        (lambda x: x @ torch.ones(4, 1), ["(2, 3)", "number of features"]),
        (lambda x: x.log().sum(1), ["finite", "of 512"]),
        (lambda x: x.sum(1) / 0, ["finite", "512 of 512"]),
        (lambda x: x.sum(1) + torch.randn(len(x)), ["deterministic", "evaluation mode"]),
        (lambda x: x.sum(1) - x.sum(1).mean(), OTHERS),
        (lambda x: x.sum(1) - x[0, 0], OTHERS),
        (lambda x: x.sum(1) - x[-1, 0], OTHERS),
        (lambda x: x.sum(1).cumsum(0), OTHERS),
        (lambda x: x.sum(1) - x.sum(1).roll(1), OTHERS),
        (lambda x: x[:, 0].argsort().argsort().float(), OTHERS),
        (lambda x: x.sum(1) / x.abs().max(), OTHERS),
        (lambda x: torch.stack([1e4 + x[:, 0], x[:, 1] - x[:, 1].mean()], dim=1), OTHERS),
        (lambda x: torch.stack([1e3 * x[:, 0], x[:, 1] - x[:, 1].mean()], dim=1), OTHERS),
        (lambda x: torch.full((len(x), 1), 0.1), ["output 0", "constant"]),
        (lambda x: torch.stack([x[:, 0] * 1e-6, 0 * x[:, 0] + 123.456], dim=1), ["output 1", "constant"]),
        (lambda x: torch.zeros(len(x)), ["output 0", "constant"]),
        (lambda x: 0.1 + 5e-9 * x[:, 0], ["output 0", "constant"]),  # rounding alone differs
        (lambda x: 1e9 + 32 * x[:, 0].sign(), ["output 0", "constant"]),
    ],
)
def test_probe_refuses_what_cannot_be_distilled(function, words):
    with fails("here", *words):
        probe(call(function), THREE)


def test_a_network_that_reads_its_batch_is_told_to_be_evaluated():
    class Whitened(nn.Module):
        def forward(self, x):
            return (x - x.mean(0)).sum(1, keepdim=True)

    with fails("here", "each row by itself", "save it in evaluation mode"):
        probe(call(Whitened()), THREE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounding_is_no_dependence(dtype):
    def rounded(x):
        """Answers far from zero, one unit of rounding apart in batches of other sizes."""
        y = (100 + x.sum(1)).to(dtype)
        return (y * (1 + torch.finfo(dtype).eps * (len(x) > 100))).float()

    assert probe(call(rounded), THREE).outputs == 1


def test_answers_in_a_row_of_their_own_become_one_output():
    teacher = call(lambda x: x.sum(1))
    assert teacher(ROWS).shape == (len(ROWS), 1)
    assert probe(teacher, THREE).outputs == 1


def test_small_outputs_are_not_taken_for_constant_ones():
    assert probe(call(lambda x: torch.stack([x[:, 0] * 1e-9, x[:, 1] * 1e9], dim=1)), THREE).outputs == 2


def test_dropout_is_off_in_a_module_and_found_in_a_callable(code):
    text = "net = nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5), nn.Linear(50, 1)).train()\n"
    assert probe(load_teacher(code(text + "def teacher(): return net\n")), THREE).outputs == 1
    teacher = load_teacher(code(text + "def teacher(): return lambda x: net(x)\n"))
    with fails(teacher.source, "deterministic"):
        probe(teacher, THREE)


@pytest.mark.parametrize("rows", [2, 8])
def test_a_pt2_for_one_batch_size_is_told_apart(tmp_path, rows):
    with fails(tmp_path / "net.pt2", "takes only a fixed batch size", f"always with {rows} rows", "Dim('rows', min=1)"):
        load_teacher(save_pt2(network(), tmp_path / "net.pt2", rows=rows))


def test_several_outputs_of_a_file(tmp_path):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x):
            return self.net(x), x

    teacher = load_teacher(save_pt2(Pair(), tmp_path / "pair.pt2"))
    assert probe(teacher, THREE).outputs == OUTPUTS + FEATURES


def test_nan_weights(tmp_path):
    net = network()
    nn.init.constant_(net[2].weight, float("nan"))
    path = save_pt2(net, tmp_path / "net.pt2")
    with fails(path, "finite", "512 of 512"):
        probe(load_teacher(path), THREE)


def test_more_features_declared_than_the_teacher_takes(files):
    with fails(files["net.pt2"], "(2, 4)", "number of features"):
        probe(load_teacher(files["net.pt2"]), Inputs.unknown(4))


def test_answers_may_be_larger_than_their_squares_can_be():
    assert probe(call(lambda x: 1e37 * x.sum(1)), THREE).differentiable


def noisy(share: float, offset: float = 0.0):
    rng = torch.Generator().manual_seed(0)

    def function(x):
        y = x.sin().sum(1) + offset
        return y * (1 + share * torch.randn(len(x), generator=rng))

    return call(function)


def test_answers_that_vary_a_little_are_tolerated_and_stated():
    found = probe(noisy(1e-6), THREE)
    assert 1e-7 < found.noise < 1e-5 and "differ by" in found.limits
    assert probe(call(lambda x: x.sin().sum(1)), THREE).noise == 0


@pytest.mark.parametrize("share", [1e-2, 0.3])
def test_answers_that_vary_are_refused_with_a_row_and_both_answers(share):
    with fails("here", "deterministic", "x0=", "x2=", " got ", " and ", "average repeated answers"):
        probe(noisy(share), THREE)


def test_one_row_that_varies_is_enough():
    answers = iter(range(100))

    def function(x):
        y = x.sin().sum(1)
        y[5:6] += 0.5 * next(answers)
        return y

    with fails("here", "deterministic"):
        probe(call(function), THREE)


def test_the_advice_fits_what_varies():
    class Dropping(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x, 0.5, True).sum(1)

    with fails("here", "dropout off"):
        probe(call(Dropping()), THREE)
    estimator = from_numpy(lambda x: x.sum(1) + np.random.default_rng().normal(size=len(x)))
    with fails("here", "average repeated answers") as _:
        probe(replace(call(estimator), estimator=object()), THREE)
    with pytest.raises(TeacherError) as caught:
        probe(replace(call(estimator), estimator=object()), THREE)
    assert "dropout" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "step"),
    [
        (lambda x: (x.sin().sum(1) * 100).round() / 100, 0.01),
        (lambda x: (1e3 * x.sum(1)).round(), 1.0),
        (lambda x: (1e4 * x.sum(1) / 1000).round() * 1000, 1000.0),
        (lambda x: (x.sin().sum(1) * 100).round(decimals=1) / 100, 0.001),
    ],
)
def test_rounded_answers_are_told_apart(function, step):
    found = probe(call(function), THREE)
    assert found.resolution == pytest.approx(step)
    assert not found.differentiable
    assert f"steps of {step:g}" in found.limits


@pytest.mark.parametrize("short", [torch.float16, torch.bfloat16])
def test_answers_of_a_short_number_are_told(short):
    found = probe(call(lambda x: (10 + x.sin().sum(1)).to(short)), THREE)
    assert found.resolution == pytest.approx(10 * torch.finfo(short).eps, rel=0.1)


def test_other_answers_have_no_steps():
    assert probe(call(lambda x: x.sin().sum(1)), THREE).resolution is None
    assert probe(call(lambda x: 100 + x.sin().sum(1)), THREE).limits == ""


def test_the_float32_of_a_student_limits_it_far_from_zero():
    """A float64 teacher is exact there."""
    far = lambda offset: Teacher("here", lambda x: x.sin().sum(1) + offset, torch.float64, "")  # noqa: E731
    assert probe(far(1e4), THREE).resolution == float(np.spacing(np.float32(1e4)))
    with fails("here", "output 0 reaches 1e+09", "float32, whose steps are 64 there", "subtract its mean, 1e+09"):
        probe(far(1e9), THREE)


@pytest.mark.parametrize("scale", [1e300, 1e-300, 1e38])
def test_answers_that_float32_cannot_hold_are_refused(scale):
    teacher = Teacher("here", lambda x: x.sin().sum(1) * scale, torch.float64, "")
    with fails("here", "float32 cannot hold", "scale"):
        probe(teacher, THREE)


def test_rows_that_are_changed_in_place():
    with fails("here", "changes its input rows"):
        probe(call(lambda x: x.mul_(2).sum(1)), THREE)
    with fails("here", "changes its input rows"):
        probe(call(lambda x: torch.from_numpy(np.sin(x.numpy(), out=x.numpy()).sum(1))), THREE)


def test_memory_that_is_handed_out_again_is_no_proof_of_determinism():
    memory = torch.zeros(512)

    def function(x):
        out = memory[: len(x)]
        return out.copy_(x.sum(1) + torch.randn(len(x)))

    with fails("here", "deterministic"):
        probe(call(function), THREE)


def test_an_answer_that_is_no_number_shows_its_row():
    with fails("here", "finite", "of 512", "x0=2."):
        probe(call(lambda x: torch.where(x[:, 0] > 2.2, torch.nan, x.sum(1))), THREE)


def test_few_rows_are_asked():
    rows = []

    def function(x):
        rows.append(len(x))
        return x.sin().sum(1)

    probe(call(function), THREE)
    assert sum(rows) <= 1_100 and len(rows) <= 7


def test_no_rows_are_spent_to_find_which_missing_value_is_not_taken():
    inputs = Inputs([Feature(name, missing=0.2) for name in "abcde"])
    with metered(Meter()):
        teacher = Teacher("t", lambda x: x.sum(1), torch.float64, "sha")
    with fails("t", "takes no missing values, and a may be missing (missing: 0.2), b may be"):
        probe(teacher, inputs, rows=16)
    assert teacher.guard.meter.asked == 2 * GAP_ROWS


@pytest.mark.parametrize("own", [True, False], ids=["of training", "of the batch"])
def test_batch_normalization_is_found_where_it_stores_moments(own):
    layers = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)
    module = freeze(nn.Sequential(*(layers if own else (layers[0], layers[2], layers[3]))))
    assert probe(Teacher("t", module, torch.float32, "sha"), THREE).normalizes == own
    assert not probe(call(lambda x: module(x)), THREE).normalizes  # what a function calls cannot be read
