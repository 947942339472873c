"""Names of metrics: what is read back from those that were logged."""

import pytest

from dfkd_tune.testing.problems import make_problem, recipe
from dfkd_tune.training import metrics
from dfkd_tune.training.distill import distill


@pytest.mark.parametrize("outputs", [1, 12])
def test_errors_of_outputs_come_back_in_their_order(outputs):
    """Also from the tenth on, whose names sort before the second."""
    outcome = distill(make_problem(outputs=outputs), recipe(steps=20), seed=0)
    logged = dict(sorted(outcome.metrics().items()))
    assert metrics.by_output(logged) == pytest.approx(outcome.selection.by_output)


def test_a_single_output_has_the_error_of_the_student():
    assert metrics.by_output({metrics.RMSE: 0.5, metrics.NRMSE: 0.1}) == [0.5]
