"""A teacher whose answers shift is told from one that is noisy, and rounding from both."""

import pytest
import torch
from asked import fails

from dfkd_tune.errors import TeacherError
from dfkd_tune.study.total.drift import require_same
from dfkd_tune.teachers.base import Teacher

X = torch.randn(60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def plain(x):
    return torch.stack([1e3 + x[:, 0] * x[:, 1], 1e-3 * x[:, 2]], 1)


KEPT = plain(X)
SPREAD = KEPT.std(0)


def check(*changes: float, output: int = 0, calls: list | None = None) -> None:
    """Ask two rows again; the n-th call's answers differ by the n-th change, in standard deviations of one output."""
    changes, made = iter(changes), [] if calls is None else calls

    def answer(x):
        made.append(len(x))
        found = plain(x)
        found[:, output] += next(changes) * SPREAD[output]
        return found

    require_same(Teacher("priced", answer, torch.float64, "sha"), X[:2], KEPT[:2], KEPT)


@pytest.mark.parametrize("change", [0.0, 1e-4, -1e-4])
def test_rounding_is_no_change_and_takes_one_call(change):
    calls = []
    check(change, calls=calls)
    assert calls == [2]


@pytest.mark.parametrize("output", [0, 1])
@pytest.mark.parametrize("change", [0.01, 3.0, float("nan")])
def test_a_shift_is_told_with_the_row_in_units_of_its_own_output(change, output):
    with fails(
        "priced", "answers otherwise than when this study asked it before: x0=", "another name", kind=TeacherError
    ):
        check(change, change, output=output)


@pytest.mark.parametrize(("first", "second"), [(0.01, 0.03), (0.5, -0.5), (0.01, 0.0)])
def test_noise_is_told_as_noise(first, second):
    with fails("priced", "must be deterministic", "fix its seed", kind=TeacherError):
        check(first, second)
