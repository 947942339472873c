"""What a features file says of arguments, and what it says that does not fit them."""

import pytest
import torch
import yaml
from asked import fails

from dfkd_tune.errors import FeaturesError
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.layouts.signature import Argument, Signature

SIGNATURE = Signature.positional(
    [
        Argument("signal", (3, 2), torch.float32),
        Argument("region", (), torch.int64),
        Argument("flag", (1,), torch.bool),
        Argument("pixels", (2, 2, 1), torch.uint8),
    ]
)
REST = "region: {levels: [0, 1, 2]}"


def parsed(text: str, signature: Signature | None = SIGNATURE):
    return parse_features(yaml.safe_load(text), "features.yaml", signature)


def test_arguments_are_declared_by_name():
    inputs = parsed(
        "arguments: {region: {levels: [0, 5]}, signal: {features: [a, {name: b, mean: 3, std: 2}, c, d, e, f]}}\nsimplex: [c, d]"
    )
    assert inputs.names == [*"abcdef", "region", "flag", *(f"pixels[{i},{j},0]" for i in (0, 1) for j in (0, 1))]
    x = inputs.raw(inputs.draw(200, torch.Generator().manual_seed(0)), torch.float32)
    assert set(x[:, 6].tolist()) == {0, 5} and set(x[:, 7].tolist()) == {0, 1}
    pixels = x[:, 8:]
    assert (
        torch.equal(pixels, pixels.round()) and pixels.min() >= 0 and pixels.max() <= 255 and len(pixels.unique()) > 50
    )
    torch.testing.assert_close(x[:, 2] + x[:, 3], torch.ones(200))


def test_one_declaration_is_for_all_values_of_an_argument():
    inputs = parsed(
        f"arguments: {{signal: {{mean: 3, std: 2}}, {REST}, pixels: {{grid: {{height: 2, width: 2, range: [0, 9]}}}}}}"
    )
    assert inputs.center[:6].tolist() == [3] * 6 and inputs.names[-1] == "pixels[1,1,0]"
    assert inputs.features[-1].integer and inputs.features[-1].range == [0, 9]
    listed = parsed("features: [a, b, c, d, e, f, {name: r, levels: [1, 2]}, flag, p, q, r2, s]")
    assert listed.layout == inputs.layout and listed.names[0] == "a"


def test_the_file_tells_what_a_teacher_does_not():
    script = Signature.positional([Argument("signal", None), Argument("region", None)])
    text = "arguments: {region: {shape: [], dtype: int32, range: [0, 3]}, signal: {shape: [4, 2], dtype: bfloat16}}"
    inputs = parsed(text, script)
    assert str(inputs.layout.signature) == "signal (N, 4, 2) bfloat16, region (N,) int32"
    assert str(parsed(text, None).layout.signature) == "region (N,) int32, signal (N, 4, 2) bfloat16"
    flat = parsed("arguments: {x: {features: [a, b]}}", Signature.positional([Argument("x", None)]))
    assert flat.layout is None and flat.names == ["a", "b"]


def test_half_precision_ranges_hold_in_half_precision():
    short = Signature.positional([Argument("x", (2,), torch.bfloat16)])
    inputs = parsed("arguments: {x: {range: [0.1, 0.3]}}", short)
    z = inputs.draw(500, torch.Generator().manual_seed(0))
    x = inputs.raw(z, torch.float32)
    assert torch.equal(x, x.bfloat16().float()) and x.min() >= 0.1 and x.max() <= 0.3
    torch.testing.assert_close(inputs.standardized(x), z, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arguments: {}", ["must be a mapping of arguments"]),
        (
            "arguments: {signals: {}}",
            ["arguments.signals", "takes signal (N, 3, 2) float32", "known arguments: signal, region"],
        ),
        ("arguments: {signal: 3}", ["arguments.signal", "must be a mapping"]),
        ("arguments: {signal: {shape: [2, 3]}}", ["is (N, 2, 3), but the teacher takes signal (N, 3, 2)"]),
        ("arguments: {signal: {shape: [-1]}}", ["must be a list of sizes"]),
        ("arguments: {signal: {dtype: float64}}", ["is float64, but the teacher takes"]),
        ("arguments: {signal: {dtype: text}}", ["unknown dtype", "known: float32"]),
        ("arguments: {signal: {name: a}}", ["arguments.signal.name", "unknown key"]),
        ("arguments: {signal: {features: [a], mean: 1}}", ["arguments.signal.mean", "unknown key"]),
        ("arguments: {signal: {features: [a, b]}}", ["declares 2 values", "which has 6"]),
        (
            "arguments: {pixels: {grid: {height: 3, width: 3}}}",
            ["declares (N, 1, 3, 3) or (N, 3, 3, 1)", "takes pixels (N, 2, 2, 1)", "grid: {height: 2, width: 2}"],
        ),
        ("arguments: {signal: {meen: 1}}", ["meen", "unknown key"]),
        (
            "arguments: {signal: {mean: 1, std: 1}}",
            ["nothing says which whole numbers", "arguments: {region: {levels: [0, 1, 2]}}"],
        ),
        ("arguments: {region: {levels: [0, 1.5]}}", ["takes whole numbers alone"]),
        ("arguments: {region: {levels: [red, blue]}}", ["takes whole numbers alone"]),
        ("arguments: {region: {levels: [0, null]}}", ["takes whole numbers alone"]),
        (
            f"arguments: {{{REST}, flag: {{missing: 0.1}}}}",
            ["'flag' may be missing", "flag (N, 1) bool cannot hold NaN"],
        ),
        (f"arguments: {{{REST}, pixels: {{missing: 0.1}}}}", ["uint8 cannot hold NaN", "leave missing out"]),
        (
            f"arguments: {{{REST}, pixels: {{features: [a, b, {{name: c, missing: 0.1}}, d]}}}}",
            ["'c' may be missing", "uint8 cannot hold NaN"],
        ),
        (
            f"arguments: {{{REST}, pixels: {{grid: {{height: 2, width: 2, missing: 0.1}}}}}}",
            ["pixels.grid.missing", "unknown key"],
        ),
        (
            f"arguments: {{{REST}, pixels: {{range: [0, 300]}}}}",
            ["reaches from 0 to 300", "takes 0 to 255", "{range: [0, 255]}"],
        ),
        (
            f"arguments: {{{REST}, flag: {{levels: [0, 2]}}}}",
            ["reaches from 0 to 2", "takes 0 to 1", "{flag: {range: [0, 1]}}"],
        ),
        ("arguments: {signal: {mean: 1}}", ["features.yaml: arguments.signal: mean and std"]),
        ("arguments: {signal: {features: [a, {name: b, levels: [true]}, c, d, e, f]}}", ["signal.features[1].levels"]),
        ("features: [a, b]", ["declares 2 values", "takes 12", "signal (N, 3, 2) float32"]),
        ("features: [a]\narguments: {}", ["features, window, grid or arguments"]),
    ],
)
def test_what_does_not_fit_is_told_with_the_signature(text, words):
    with fails("features.yaml", *words, kind=FeaturesError):
        parsed(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "arguments: {signal: {mean: 0, std: 1}}",
            ["does not tell the shape of its argument signal", "{shape: [24, 6]}"],
        ),
        ("features: [a, b]", ["a list of features does not say which lie in which", "arguments: {signal:"]),
        ("arguments: {signal: {shape: [1000, 1000]}, region: {shape: [1]}}", ["1,000,001 features, 100,000 at most"]),
        ("arguments: {signal: {shape: [2]}, region: {shape: [1], dtype: int64}}", ["nothing says which whole numbers"]),
        *(
            (
                f"arguments: {{signal: {{shape: [2]}}, region: {{shape: [1], levels: {levels}}}}}",
                ["levels", "valid list"],
            )
            for levels in ("3", "1.5", "true", "word", "{a: 1}")
        ),
        (
            "arguments: {signal: {shape: [2]}, region: {shape: [1], levels: [a, b], missing: 0.1}}",
            ["missing is for numbers"],
        ),
    ],
)
def test_shapes_that_nobody_tells(text, words):
    with fails("features.yaml", *words, kind=FeaturesError):
        parsed(text, Signature.positional([Argument("signal", None), Argument("region", None)]))


def test_an_embedding_has_no_level_beyond_its_rows():
    codes = Signature.positional([Argument("codes", (2,), torch.int64, (5, None))])
    with fails(
        "features.yaml", "'codes[0]' reaches from 0 to 7", "takes 0 to 4", "{range: [0, 4]}", kind=FeaturesError
    ):
        parsed("arguments: {codes: {levels: [0, 7]}}", codes)
    assert parsed("arguments: {codes: {features: [{name: a, levels: [0, 4]}, {name: b, levels: [0, 7]}]}}", codes)
