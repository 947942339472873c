"""Laws of images that are smooth over unknown lengths: marginals, stationarity, likeness of channels, other columns."""

import math

import pytest
import torch
from torch import Tensor

from dfkd_tune.inputs.dependence.lengths import Fields
from dfkd_tune.testing.problems import rng

ROWS, CHANNELS, HEIGHT, WIDTH = 40_000, 2, 4, 3
NEAR = 4 / math.sqrt(ROWS)
"""Four standard errors of a mean of values of variance 1."""
COLUMNS = torch.randperm(CHANNELS * HEIGHT * WIDTH, generator=rng()).view(CHANNELS, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def noise() -> Tensor:
    return torch.randn(ROWS, CHANNELS * HEIGHT * WIDTH + 1, generator=rng(), dtype=torch.float64)


@pytest.fixture(scope="module")
def image(noise) -> Tensor:
    return Fields(COLUMNS).of(noise)[:, COLUMNS]


def test_every_pixel_is_standard_normal(image):
    assert (image.mean(0).abs() < 1.2 * NEAR).all()
    assert ((image.square().mean(0) - 1).abs() < 1.2 * math.sqrt(2) * NEAR).all()
    assert ((image.square().square().mean(0) - 3).abs() < 1.2 * math.sqrt(96) * NEAR).all()


def test_neighbors_go_together_alike_everywhere_and_in_both_directions(image):
    across = (image[..., 1:] * image[..., :-1]).mean(0)
    down = (image[:, :, 1:] * image[:, :, :-1]).mean(0)
    assert float(across.min()) > 0.2
    assert float(torch.cat([across.flatten(), down.flatten()]).std()) < NEAR


def test_every_image_has_lengths_of_its_own(image):
    """Some images hardly change from pixel to pixel, some have no memory."""
    step = (image[:, 0, :, 1:] - image[:, 0, :, :-1]).square().mean((1, 2))
    assert float((step < 0.3).double().mean()) > 0.1
    assert float((step > 1.5).double().mean()) > 0.1


def test_channels_of_a_pixel_are_alike_by_half_on_the_mean(image):
    assert torch.allclose((image[:, 0] * image[:, 1]).mean(0), torch.tensor(0.5).double(), atol=2 * NEAR)


def test_other_columns_stay(noise):
    assert torch.equal(Fields(COLUMNS).of(noise)[:, -1], noise[:, -1])
