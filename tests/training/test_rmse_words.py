"""How figures are told: no output of a small scale hides behind one of a large scale."""

import pytest

from dfkd_tune.training.rmse_words import MOST_OUTPUTS, OutputRMSE, of_outputs, outputs_in_words, rmse_in_words


def test_every_output_is_told_with_its_share():
    words = outputs_in_words({"leak": OutputRMSE(2e-8, 0.1), "force": OutputRMSE(1700.0, 0.01)})
    assert words == "leak 2e-08, 10 % of its standard deviation; force 1700, 1 % of its standard deviation"
    assert rmse_in_words(1.0, 0.05, 2).endswith("over all outputs") and "outputs" not in rmse_in_words(1.0, 0.05, 1)


def test_of_many_outputs_the_worst_are_told():
    many = {f"o{i}": OutputRMSE(1.0, i / 100) for i in range(MOST_OUTPUTS + 3)}
    words = outputs_in_words(many)
    assert all(f"o{i} " in words for i in range(3, len(many))) and "o2 " not in words
    assert words.endswith("at most as much of the 3 others")


@pytest.mark.parametrize("count", [1, 3])
def test_one_output_is_not_told_twice(count):
    parts = [{"name": str(i), "rmse": 0.5, "relative_rmse": 0.1} for i in range(count)]
    assert len(of_outputs({"report": {"by_output": parts}})) == (count if count > 1 else 0)
