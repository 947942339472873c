"""Points that fill a cube evenly, and what becomes of them in the units of the inputs."""

import pytest
import torch

from dfkd_tune.generators.low_discrepancy import Halton, LatinHypercube, Sobol, Uniform, unit_points
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.testing.problems import raw

INPUTS = Inputs([Feature(name="plain"), Feature(name="ranged", range=[-1.0, 2.0])])


@pytest.mark.parametrize("item", [Sobol(), Halton()], ids=lambda item: type(item).__name__)
def test_a_sequence_goes_on_from_batch_to_batch(item):
    engine, whole = item.engine(2, 3), item.block(INPUTS, 4, 8, item.engine(2, 3))
    assert torch.equal(torch.cat([item.block(INPUTS, steps, 8, engine) for steps in (1, 3)]), whole)
    assert len(whole.flatten(0, 1).unique(dim=0)) == 32


def test_every_batch_of_a_hypercube_has_one_row_in_each_layer():
    u = unit_points(LatinHypercube().engine(3, 0), 5, 10).view(5, 10, 3)
    layers = (10 * u).long().sort(dim=1).values
    assert torch.equal(layers, torch.arange(10).view(1, 10, 1).expand(5, -1, 3))


@pytest.mark.parametrize("item", [Sobol, Halton, LatinHypercube])
def test_points_follow_the_prior_or_fill_a_box(item):
    over_prior = item().block(INPUTS, 1, 512, item().engine(2, 0))[0]
    boxed = item(over="box", reach=2.0).block(INPUTS, 1, 512, item().engine(2, 0))[0]
    assert float(over_prior[:, 0].std()) == pytest.approx(1.0, abs=0.05) and float(over_prior[:, 0].abs().max()) > 2.2
    assert float(boxed[:, 0].std()) == pytest.approx(4 / 12**0.5, abs=0.05) and float(boxed[:, 0].abs().max()) <= 2.0
    for z in (over_prior, boxed):  # a declared range is all of both
        x = raw(INPUTS, z)[:, 1]
        assert -1.0 <= float(x.min()) < -0.95 and 1.95 < float(x.max()) <= 2.0


def test_uniform_rows_are_independent_of_each_other():
    item = Uniform(reach=2.0)
    x = item.block(INPUTS, 2, 4000, item.engine(2, 0))
    assert not torch.equal(x[0], x[1]) and float(x[..., 0].abs().max()) <= 2.0
    assert abs(float(torch.corrcoef(x.flatten(0, 1).T)[0, 1])) < 0.05
    assert float(x[..., 0].std()) == pytest.approx(4 / 12**0.5, rel=0.03)
