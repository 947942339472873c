"""Skewed and heavy-tailed marginals: standardized, correlated as declared, and normal where both parameters are 0."""

import pytest
import torch

from dfkd_tune.inputs.marginals.sinh_arcsinh import SinhArcsinh

ROWS = 200_000
SCORES = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
ROOT = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)


def made(skew=(0.0, 0.0), tails=(0.0, 0.0), mixing=ROOT) -> SinhArcsinh:
    return SinhArcsinh(mixing, *(torch.tensor(part, dtype=mixing.dtype) for part in (skew, tails)))


def test_without_parameters_it_is_the_normal_distribution_of_the_mixing():
    torch.testing.assert_close(made().push(SCORES), SCORES @ ROOT.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "skew, tails", [((0.8, -0.8), (0.0, 0.0)), ((0.0, 0.5), (0.3, -0.4)), ((1.5, 0.0), (0.2, 0.4))]
)
def test_every_feature_has_mean_0_and_variance_1(skew, tails):
    x = made(skew, tails).push(SCORES)
    assert x.mean(0).tolist() == pytest.approx([0.0, 0.0], abs=0.02)
    assert x.var(0).tolist() == pytest.approx([1.0, 1.0], rel=0.05)


def test_parameters_lengthen_the_tail_that_they_say():
    x = made((0.5, 0.0), (0.0, 0.4)).push(SCORES)
    mirrored = made((-0.5, 0.0), (0.0, -0.4)).push(SCORES)
    assert float(x[:, 0].pow(3).mean()) > 0.5 and float(mirrored[:, 0].pow(3).mean()) < -0.5
    assert float(x[:, 1].pow(4).mean()) > 3.5 > 2.8 > float(mirrored[:, 1].pow(4).mean())


def test_values_rise_with_their_score():
    """So that ranks, and rank correlations, are those of the scores."""
    scores = torch.linspace(-6, 6, 101, dtype=torch.float64)[:, None].expand(-1, 2)
    assert bool((made((0.7, -0.7), (0.5, -0.5), torch.eye(2).double()).push(scores).diff(dim=0) > 0).all())


def test_the_dtype_is_that_of_the_mixing_on_its_device():
    single = made(mixing=ROOT.float())
    assert single.push(SCORES).dtype == torch.float32
    assert torch.equal(single.on(torch.device("cpu")).push(SCORES[:9]), single.push(SCORES[:9]))
