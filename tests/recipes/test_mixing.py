"""The weight of synthetic rows over a run, and which halves of a batch are synthetic."""

import pytest

from dfkd_tune.recipes.mixing import ALPHAS, EPOCH, Constant, Decreasing, Mix


@pytest.mark.parametrize("kind", ALPHAS)
@pytest.mark.parametrize("steps", [1, 9, 10, 200, 20_000])
def test_alpha_is_a_share_that_moves_once_an_epoch(kind, steps):
    values = [ALPHAS[kind]().at(step, steps) for step in range(steps)]
    assert all(0 <= value <= 1 for value in values)
    assert all(len(set(values[i : i + EPOCH])) == 1 for i in range(0, steps, EPOCH))
    assert values in (sorted(values), sorted(values, reverse=True))


@pytest.mark.parametrize(
    "kind, first, last", [("constant", 0.5, 0.5), ("decreasing", 0.95, 0.0), ("increasing", 0.05, 1)]
)
def test_alpha_starts_and_ends_as_published(kind, first, last):
    assert ALPHAS[kind]().at(0, 200) == pytest.approx(first) and ALPHAS[kind]().at(199, 200) == last


@pytest.mark.parametrize(
    "alpha, halves",
    [
        (Constant(0.0), Mix.PRIOR),
        (Constant(1.0), Mix.SYNTHETIC),
        (Constant(0.999), Mix.BOTH),
        (Decreasing(), Mix.BOTH),  # although it ends at 0
    ],
)
def test_only_a_constant_of_0_or_1_gives_the_whole_batch_to_one_kind_of_rows(alpha, halves):
    assert Mix.of(alpha) == halves
