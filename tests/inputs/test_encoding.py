"""The encoding of rows for a first layer: the module of raw rows and the encoder of standardized rows agree, and gradients pass both ways."""

import numpy as np
import pytest
import torch
from asked import fails

from dfkd_tune.errors import FeaturesError, SpecError
from dfkd_tune.inputs.encoding import COARSEST, Encoding, encoder, require_resolution, resolved, spacing
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.utils.strategy import build

MIXED = [
    {"name": "a", "mean": 3.0, "std": 2.0, "missing": 0.3},
    {"name": "b", "levels": ["x", None]},
    "c",
    {"name": "d", "range": [0, 9], "missing": 0.5},
]


def parsed(*features):
    return parse_features({"features": list(features)}, "features.yaml")


def drawn(inputs, rows):
    return inputs.draw(rows, torch.Generator().manual_seed(0))


def test_students_take_the_value_and_whether_it_is_missing():
    inputs = parsed(
        {"name": "a", "mean": 3.0, "std": 2.0, "missing": 0.3},
        {"name": "b", "levels": ["x", None]},
        "c",
        {"name": "d", "range": [0, 9], "missing": 0.5},
    )
    made, z = encoder(inputs), drawn(inputs, 300)
    e, x = made.rows(z), inputs.raw(z, torch.float32)
    assert made.encoding.width == made.columns.width == e.shape[1] == 3 + 2 + 2
    torch.testing.assert_close(made.encoding.module()(x).double(), e, rtol=1e-6, atol=1e-6)
    for value, flag, column in ((0, 5, 0), (2, 6, 3)):
        absent = z[:, column].isnan()
        assert torch.equal(e[:, flag], absent.double()) and not e[absent, value].any()
        assert torch.equal(e[~absent, value], z[~absent, column])
    x[0, 2] = torch.nan  # nobody declared that this may be missing
    assert made.encoding.module()(x)[0].isnan().any()


def test_gradients_of_a_missing_value_are_0():
    inputs = parsed({"name": "a", "missing": 0.5}, "b")
    made, z = encoder(inputs), drawn(inputs, 50)
    absent = z[:, 0].isnan()
    back = made.back(torch.ones(50, 3, dtype=torch.float64), z)
    assert torch.equal(back[:, 0] == 0, absent) and (back[:, 1] == 1).all()
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(made.rows(z).sum(), z)
    assert torch.equal(gradient[:, 0] == 0, absent)


def test_gradients_go_to_the_columns_of_their_features_and_back():
    inputs = parsed(*MIXED)
    made, z = encoder(inputs), drawn(inputs, 40)
    gradients = torch.randn(40, 2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    there = made.gradients(gradients)
    assert there.shape == (40, 2, made.encoding.width) and not there[..., 3:].any()
    back = made.back(there[:, 0], z)
    kept = gradients[:, 0].clone()
    kept[:, 1] = 0.0  # the level
    assert torch.equal(back, kept.masked_fill(z.isnan(), 0.0))


def test_a_first_layer_on_raw_rows_is_one_on_encoded_rows():
    inputs = parsed({"name": "a", "mean": 3.0, "std": 2.0}, {"name": "b", "levels": [2.0, 5.0, 9.0], "nominal": True})
    made, z = encoder(inputs), drawn(inputs, 50)
    weight, bias = (torch.randn(*shape, dtype=torch.float64) for shape in ((6, 2), (6,)))
    own, shift = made.first_layer(weight, bias)
    torch.testing.assert_close(made.rows(z) @ own.T + shift, inputs.raw(z) @ weight.T + bias)


def test_a_value_between_two_levels_is_the_nearer_one():
    module = Encoding([0.0], [1.0], levels={0: [1.0, 2.0, 10.0]}).module()
    hot = module(torch.tensor([[-9.0], [1.4], [1.6], [5.9], [6.1], [99.0]])).argmax(1)
    assert hot.tolist() == [0, 0, 1, 1, 2, 2]


def test_plain_rows_are_standardized_in_their_own_precision():
    inputs = parsed({"name": "a", "mean": 1e7, "std": 1.0})
    made = encoder(inputs)
    assert made.encoding.dtype == "float64" and not made.encoding.folds
    found = made.encoding.module()(torch.tensor([[1e7 + 0.25]], dtype=torch.float64))
    assert found.dtype == torch.float32 and found.item() == 0.25


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"center": [0.0], "scale": [1.0, 2.0]}, "center and scale need as many numbers, found 1 and 2"),
        ({"levels": {2: [1.0]}}, "levels are of a feature 2, there are 2"),
        ({"levels": {1: ["missing", 1.0]}}, "levels of feature 1 must have missing last"),
        ({"gapped": [0, 0]}, "gapped names 0, which is no number, or is named twice"),
        ({"gapped": [1], "levels": {1: [1.0]}}, "gapped names 1"),
        ({"scale": [1.0, 0.0]}, "e.scale.1: input should be greater than 0"),
    ],
)
def test_encodings_that_cannot_be_are_refused(about, words):
    with fails("e", words, kind=SpecError):
        build(Encoding, {"center": [0.0, 1.0], "scale": [1.0, 2.0]} | about, "e")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_spacing_is_that_of_numpy(dtype):
    torch_dtype = torch.from_numpy(np.empty(0, dtype)).dtype
    for value in (1.0, 1.5, 2.0, 3.1, 1000.0, 6e-5, float(np.finfo(dtype).smallest_subnormal)):
        assert spacing(float(dtype(value)), torch_dtype) == float(np.spacing(dtype(value)))


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"mean": 1e9, "std": 1.0}, ["takes float32, which rounds it by 32 of its standard deviation", "float64"]),
        ({"levels": [1e9, 1e9 + 1]}, ["cannot distinguish its values"]),
        (
            {"range": [0, 2**25], "integer": True},
            ["lacks some of its whole numbers: steps are 4 at 33554432", "integer"],
        ),
    ],
)
def test_a_dtype_that_is_too_coarse_is_told_with_what_it_does(about, words):
    inputs = parsed({"name": "a", **about})
    require_resolution(torch.float64, inputs)
    assert resolved(inputs, torch.float64, COARSEST) == [True] and resolved(inputs, torch.float32, COARSEST) == [False]
    with fails("feature 'a'", *words, kind=FeaturesError):
        require_resolution(torch.float32, inputs)
