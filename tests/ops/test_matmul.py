"""Products with few columns are products, and lie in memory as the next one needs them."""

import pytest
import torch

from dfkd_tune.ops.matmul import NARROW, few_columns, layer, outer_or_matmul

COLUMNS = [1, 2, NARROW - 1, NARROW, NARROW + 1]


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize("members", [(), (3,)], ids=["matrix", "batch"])
@pytest.mark.parametrize("columns", COLUMNS)
def test_a_product_of_any_width(columns, members):
    a, b, bias = drawn(*members, 7, 5), drawn(*members, 5, columns), drawn(*members, columns)
    for found, expected in (
        (few_columns(a, b), a @ b),
        (few_columns(drawn(*members, 5, 7).mT, b), drawn(*members, 5, 7).mT @ b),
        (layer(bias, a, b), bias.unsqueeze(-2) + a @ b),
        (layer(bias, a, b, -2.0), -2 * (bias.unsqueeze(-2) + a @ b)),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert found.is_contiguous()


@pytest.mark.parametrize("members", [(), (3,)], ids=["matrix", "batch"])
@pytest.mark.parametrize("columns", COLUMNS)
def test_a_gradient_goes_back_through_a_layer(columns, members):
    gradient, weight = drawn(*members, 7, columns), drawn(*members, 5, columns)
    torch.testing.assert_close(outer_or_matmul(gradient, weight), gradient @ weight.mT, rtol=1e-12, atol=1e-12)
