"""Strided convolutions over a grid: every size is halved and rounded up, whatever the kernel."""

import pytest
import torch
from torch.nn import functional as F

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.inputs.encoding import Encoding
from dfkd_tune.networks.conv2d import Conv2dArchitecture, around, halved, layers_for


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
@pytest.mark.parametrize("height, width", [(1, 1), (2, 3), (8, 8), (9, 5), (1, 16)])
def test_a_grid_of_any_size_ends_as_at_most_four_pixels_that_see_all_of_it(height, width, kernel):
    pixels, layers = height * width, layers_for(height, width)
    columns, encoding = Columns(pixels, "grid", [height, width, 1]), Encoding([0.0] * pixels, [1.0] * pixels)
    torch.manual_seed(0)
    network = Conv2dArchitecture(columns, encoding, 1, 3, kernel, layers).network().eval()
    assert network.out.in_features == 3 * halved(height, layers) * halved(width, layers) <= 12
    x = torch.randn(1, pixels, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    assert (gradient != 0).all()


@pytest.mark.parametrize("kernel", range(2, 8))
@pytest.mark.parametrize("size", range(1, 10))
def test_a_convolution_is_around_every_second_pixel_from_the_first_one(size, kernel):
    left, right, _, _ = around(kernel)
    line = F.pad(torch.arange(1.0, size + 1)[None, None], (left, right))
    center = torch.zeros(1, 1, kernel)
    center[..., left] = 1.0
    seen = F.conv1d(line, center, stride=2)[0, 0]
    assert seen.tolist() == [float(i) for i in range(1, size + 1, 2)] and len(seen) == halved(size, 1)
