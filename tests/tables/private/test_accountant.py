"""Laws of the budget: noise is as large as it says, the parts add up to epsilon, and no part takes more than its share."""

import numpy as np
import pytest

from dfkd_tune.errors import FeaturesError
from dfkd_tune.tables.private import accountant
from dfkd_tune.tables.private.accountant import Accountant, Privacy

pytest.importorskip("opendp")
NUMBERS = 2_000


def constant(rows):
    return np.full(NUMBERS, len(rows))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
def test_the_parts_together_spend_the_budget_and_not_more(epsilon):
    budget = Accountant(Privacy(epsilon), {"first": 0.7, "second": 0.3}, [0] * 50)
    assert 0.999 * epsilon < budget.epsilon <= epsilon
    budget.measure("first", constant, 3.0)
    budget.measure("second", constant, 3.0)
    first, second = budget.spent
    assert second.noise / first.noise == pytest.approx((0.7 / 0.3) ** 0.5)
    assert first.rho == pytest.approx(9 / (2 * first.noise**2)) and max(first.epsilon, second.epsilon) < epsilon
    assert budget.table()[-1].split() == ["together", f"{first.rho + second.rho:.6f}", f"{epsilon:.3f}"]


def test_noise_has_the_deviation_that_is_told_and_no_seed():
    drawn = []
    for _ in range(2):
        budget = Accountant(Privacy(1.0), {"all": 1.0}, [0] * 50)
        np.random.seed(0)
        drawn.append(budget.measure("all", constant, 10.0) - 50)
    assert drawn[0].std() == pytest.approx(budget.spent[0].noise, rel=0.1)
    assert abs(drawn[0].mean()) < 5 * budget.spent[0].noise / NUMBERS**0.5
    assert (drawn[0] != drawn[1]).mean() > 0.9


def test_a_part_cannot_be_measured_twice():
    from opendp.mod import OpenDPException

    budget = Accountant(Privacy(1.0), {"small": 0.1, "large": 0.9}, [0] * 50)
    budget.measure("small", constant, 1.0)
    budget.measure("large", constant, 1.0)
    with pytest.raises(OpenDPException):
        budget.measure("small", constant, 1.0)


@pytest.mark.parametrize(
    ("epsilon", "delta", "option"),
    [(0.0, 1e-6, "--epsilon"), (float("nan"), 1e-6, "--epsilon"), (101.0, 1e-6, "--epsilon"), (1.0, 0.0, "--delta"), (1.0, 0.1, "--delta")],
)  # fmt: skip
def test_a_guarantee_that_is_none_is_refused(epsilon, delta, option):
    with pytest.raises(FeaturesError, match=rf"^{option}: must be greater than 0 and at most .* is usual"):
        Privacy(epsilon, delta)


def test_the_library_is_needed(monkeypatch):
    monkeypatch.setattr(accountant, "find_spec", lambda package: None)
    with pytest.raises(FeaturesError, match=r"needs the package opendp; pip install 'dfkd-tune\[privacy\]'"):
        Privacy(1.0)
