"""Every row that teacher and student are asked lies exactly on what is declared, in the units and the dtype that they take."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from dfkd_tune import Inputs
from dfkd_tune.evaluation.certificate import Certificate, certify
from dfkd_tune.evaluation.certificate_page import page
from dfkd_tune.evaluation.stress_bank import add_stress
from dfkd_tune.inputs.exact_rows import shares
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.prior_inference.level_order import with_order
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.recipe import SECTIONS
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import recipe
from dfkd_tune.training.distill import distill
from dfkd_tune.training.problem import Problem

MIXED = parse_features(
    {
        "features": [
            {"name": "load", "mean": 1000.0, "std": 200.0},
            {"name": "share of load", "range": [0.1, 0.7]},
            {"name": "gear", "levels": [1, 2, 3, 7]},
            {"name": "color", "levels": ["red", "blue", "green"], "probabilities": [0.5, 0.3, 0.2]},
            {"name": "valve", "levels": [0, 1, None]},
            {"name": "count", "range": [0, 9], "integer": True},
            {"name": "amount", "quantiles": {0.1: 1.0, 0.5: 2.0, 0.9: 5.5}},
            {"name": "parts", "quantiles": {0.1: 3, 0.5: 20, 0.9: 400}, "integer": True},
            {"name": "dose", "range": [0, 30], "integer": True, "missing": 0.3},
            {"name": "ala", "range": [0.1, 0.6]},
            {"name": "arg"},
            {"name": "cys", "range": [0.0, 0.3]},
        ],
        "simplex": ["ala", "arg", "cys"],
    },
    "mixed",
)


class Seeing:
    """A teacher that looks categories up, keeps every row it is asked, and has gradients or has not."""

    def __init__(self, features: int, smooth: bool):
        self.rows: list[Tensor] = []
        self.smooth = smooth
        self.weight = torch.linspace(-1.0, 1.5, features, dtype=torch.float64)

    def __call__(self, x: Tensor) -> Tensor:
        self.rows.append(x.detach().clone())
        x = x if self.smooth else x.detach()
        known = x.nan_to_num(-3.0).double()
        scaled = known / (1 + known.detach().abs())
        looked_up = torch.sin(37.0 * known.round())
        return (scaled @ self.weight + 0.3 * looked_up.sum(1)).to(x.dtype)

    @property
    def seen(self) -> Tensor:
        return torch.cat(self.rows)


def offenders(inputs: Inputs, x: Tensor) -> list[str]:
    """Features of which some raw value is not declared."""
    wrong = []
    for i, feature in enumerate(inputs.features):
        column, exact = x[:, i], x[:, i].double()
        if feature.levels is not None:
            table = torch.tensor(feature.table, dtype=torch.float64).to(x.dtype)
            among = (column[:, None] == table).any(1) | (column.isnan() & table.isnan().any())
            wrong += [] if among.all() else [feature.name]
            continue
        low, high = feature.support
        if i in inputs.simplex:
            low, high = feature.range or (0.0, 1.0)
        held = (exact >= low) & (exact <= high)
        if feature.integer:
            held &= exact == exact.round()
        held |= exact.isnan() & (feature.missing is not None)
        wrong += [] if held.all() else [feature.name]
    if inputs.simplex:
        total = x[:, list(inputs.simplex)].double().sum(1)
        within = 4 * len(inputs.simplex) * torch.finfo(x.dtype).eps
        wrong += [] if ((total - 1).abs() <= within).all() else ["the simplex"]
    return wrong


def all_that_asks(
    inputs: Inputs, dtype: torch.dtype, smooth: bool, sections: dict
) -> tuple[Seeing, Inputs, Certificate]:
    """Order, probe, pool, banks, stress bank, a distillation and a certificate of one teacher."""
    seeing = Seeing(len(inputs), smooth)
    teacher = Teacher("seeing", seeing, dtype, "sha")
    inputs = with_order(teacher, inputs)
    problem = Problem(teacher, inputs, probe(teacher, inputs), pool_rows=64, bank_rows=48)
    base = PRESETS["faithful" if smooth else "black_box"]
    one = recipe(base, steps=6, batch=12, student={"kind": "mlp", "width": 4}, **sections)
    add_stress(problem, replace(one, steps=10))
    outcome = distill(problem, one, seed=1)
    return seeing, inputs, certify(problem, problem.module(outcome.recipe.student, outcome.weights))


numbers = st.floats(-1e6, 1e6, allow_nan=False, width=32)


@st.composite
def features(draw, index: int) -> dict:
    """An entry of a features file."""
    kind = draw(
        st.sampled_from(["plain", "moments", "range", "whole", "levels", "words", "missing", "quantiles", "count"])
    )
    about: dict = {"name": f"f{index}"}
    if kind == "moments":
        about |= {"mean": draw(st.floats(-300, 300)), "std": draw(st.floats(0.5, 50))}
    elif kind in ("range", "whole"):
        low, width = draw(st.floats(-1e4, 1e4)), draw(st.floats(2, 1e5))  # two whole numbers at least
        about |= {"range": [low, low + width], "integer": kind == "whole"}
    elif kind in ("levels", "missing"):
        levels = draw(st.lists(numbers, min_size=2, max_size=6, unique_by=lambda v: round(v, 2)))
        about["levels"] = levels + [None] * (kind == "missing")
        if kind == "levels":
            about |= draw(st.sampled_from([{}, {"nominal": True}, {"nominal": False}]))
    elif kind == "words":
        about["levels"] = draw(st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=5, unique=True))
    elif kind in ("quantiles", "count"):
        start, steps = draw(st.floats(-50, 50)), draw(st.lists(st.floats(0.5, 90), min_size=2, max_size=2))
        values = [start, start + steps[0], start + sum(steps)]
        about |= {"quantiles": dict(zip((0.1, 0.5, 0.9), values, strict=True)), "integer": kind == "count"}
    return about | ({} if "levels" in about else draw(st.sampled_from([{}, {"missing": 0.2}])))


@st.composite
def files(draw) -> Inputs:
    """A features file, with a simplex now and then."""
    count = draw(st.integers(1, 4))
    tree: dict = {"features": [draw(features(i)) for i in range(count)]}
    if draw(st.booleans()):
        tree["features"] += [{"name": "s0"}, {"name": "s1", "range": [0.05, 0.8]}, {"name": "s2"}]
        tree["simplex"] = ["s0", "s1", "s2"]
    return parse_features(tree, "drawn")


DRAWN = (Phase.explicit, Phase.reuse, Phase.generate)  # a counterexample tells as much as a smaller one, and sooner


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=DRAWN)
@given(
    files(),
    st.sampled_from([torch.float32, torch.float64]),
    st.sampled_from([False, True]),
    st.sampled_from(sorted(SECTIONS["generator"])),
    st.sampled_from(sorted(SECTIONS["input_bound"])),
)
def test_every_row_that_a_teacher_receives_is_declared(inputs, dtype, smooth, generator, bound):
    if SECTIONS["generator"][generator].needs_gradients:
        smooth = True
    sections = {"generator": {"kind": generator}, "input_bound": {"kind": bound}}
    seeing, inputs, _ = all_that_asks(inputs, dtype, smooth, sections)
    assert len(seeing.seen) > 300
    assert offenders(inputs, seeing.seen) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smooth", [True, False])
def test_a_mixed_features_file(dtype, smooth):
    seeing, inputs, found = all_that_asks(MIXED, dtype, smooth, {"generator": {"kind": "zeroth_order"}})
    assert offenders(inputs, seeing.seen) == []
    # A lookup shows no order; words and missing values have none.
    assert {"color", "valve"} <= {inputs.names[i] for i in inputs.nominal}
    # What the certificate shows is a row that can be asked again.
    assert found.worst.input["color"] in ("red", "blue", "green")
    assert found.worst.input["gear"] in (1, 2, 3, 7)
    assert seeing.seen[:, inputs.names.index("dose")].isnan().double().mean() > 0.1
    text = page(found)
    assert "between 0 and 30, whole numbers, missing with probability 0.3" in text
    assert "one of red, blue, green, in no order" in text and "one of 0, 1, a missing value, in no order" in text


def test_offenders_are_seen():
    """The check above can fail."""
    x = MIXED.raw(MIXED.draw(50, torch.Generator().manual_seed(0)), torch.float32)
    assert offenders(MIXED, x) == []
    for i, name in enumerate(MIXED.names):
        if name not in ("load", "arg", "amount"):
            beside = x.clone()
            beside[3, i] = beside[3, i].nan_to_num(1.0) + 1000.5
            assert offenders(MIXED, beside), name


def test_rows_stay_within_ranges_that_a_dtype_cannot_hold():
    inputs = parse_features({"features": [{"name": "a", "range": [0.1, 0.7]}]}, "file")
    z = torch.tensor([[-9.0], [9.0]], dtype=torch.float64)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        low, high = inputs.raw(z, dtype).double().flatten().tolist()
        assert 0.1 <= low < high <= 0.7
    low, high = inputs.raw(z).flatten().tolist()
    assert (low, high) == (0.1, 0.7)


def test_the_gradient_passes_where_rows_are_rounded():
    z = MIXED.draw(5, torch.Generator().manual_seed(1)).requires_grad_()
    x = MIXED.raw(z, torch.float32)
    x.nan_to_num().sum().backward()
    torch.testing.assert_close(z.grad, torch.where(x.isnan(), 0.0, MIXED.scale.float().double()))


def test_rows_are_standardized_back():
    z = MIXED.draw(200, torch.Generator().manual_seed(2))
    torch.testing.assert_close(MIXED.standardized(MIXED.raw(z)), z, rtol=1e-9, atol=1e-9, equal_nan=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.floats(0, 0.3), st.floats(0.4, 1))
def test_shares_are_a_whole_within_their_ranges(raw, low, high):
    edges = torch.tensor([low, 0.0, 0.1], dtype=torch.float64), torch.tensor([high, 1.0, 0.5], dtype=torch.float64)
    found = shares(torch.tensor([raw], dtype=torch.float64), *edges)
    assert float((found.sum() - 1).abs()) < 1e-9
    assert bool((found >= edges[0]).all()) and bool((found <= edges[1]).all())


def test_shares_without_ranges_are_proportions():
    found = shares(torch.tensor([1.0, 3.0, -2.0], dtype=torch.float64), torch.zeros(3), torch.ones(3))
    assert found.tolist() == pytest.approx([0.25, 0.75, 0.0])
    nothing = shares(torch.zeros(2, dtype=torch.float64), torch.zeros(2), torch.ones(2))
    assert nothing.tolist() == [0.5, 0.5]


def test_levels_keep_their_order_where_outputs_follow_it():
    inputs = parse_features({"features": [{"name": "a"}, {"name": "b", "levels": [0, 1, 2, 3, 4]}]}, "file")

    def nominal(function) -> list[int]:
        return with_order(Teacher("f", function, torch.float64, "sha"), inputs).nominal

    table = torch.tensor([0.0, 9.0, -9.0, 7.0, -1.0], dtype=torch.float64)
    assert nominal(lambda x: x[:, 0] + x[:, 1]) == []
    assert nominal(lambda x: x[:, 0] + x[:, 1].square()) == []
    assert nominal(lambda x: x[:, 0]) == []
    assert nominal(lambda x: x[:, 0] + table[x[:, 1].long()]) == [1]
    told = parse_features({"features": ["a", {"name": "b", "levels": [0, 1, 2, 3], "nominal": False}]}, "file")
    assert with_order(Teacher("f", lambda x: table[x[:, 1].long()], torch.float64, "sha"), told).nominal == []
    # What the teacher shows is no declaration.
    found = with_order(Teacher("f", lambda x: table[x[:, 1].long()], torch.float64, "sha"), inputs)
    assert found.nominal == [1] and found.fingerprint() == inputs.fingerprint()


def test_levels_that_crowd_beside_others_are_all_asked():
    inputs = parse_features({"features": ["a", {"name": "b", "levels": [0, 1e-9, 1e9]}]}, "file")
    teacher = Teacher("t", lambda x: x.sum(1), torch.float64, "sha")
    rows = with_order(teacher, inputs)
    z = rows.draw(100, torch.Generator().manual_seed(0)).float()
    assert set(rows.raw(z)[:, 1].tolist()) == {0.0, 1e-9, 1e9}


def test_the_codes_of_a_nominal_feature_mean_nothing():
    """The same categories under other codes: the same student, to the last bit."""
    values = {3.0: 5.0, 40.0: -2.0, 500.0: 9.0}

    def answers(codes: dict[float, float]) -> np.ndarray:
        def teacher(x: Tensor) -> Tensor:
            return torch.sin(x[:, 0]) + torch.tensor([codes[v] for v in x[:, 1].tolist()]).to(x)

        levels = {"name": "b", "levels": list(codes), "nominal": True}
        inputs = parse_features({"features": ["a", levels]}, "file")
        made = Teacher("t", teacher, torch.float64, "sha")
        problem = Problem(made, inputs, probe(made, inputs), pool_rows=64, bank_rows=48)
        outcome = distill(problem, recipe(PRESETS["random"], steps=20, batch=12), seed=0)
        return np.array([outcome.selection.rmse, *outcome.weights[0].flatten().tolist()])

    renamed = {code: value for code, value in zip((-7.0, 0.5, 1e6), values.values(), strict=True)}
    assert answers(values).tolist() == answers(renamed).tolist()


def test_shares_cannot_be_levels():
    from dfkd_tune.errors import FeaturesError

    for about in ({"levels": [0, 1]}, {"range": [0, 1], "integer": True}, {"range": [0.0, 0.1]}):
        tree = {"features": [{"name": "a", **about}, {"name": "b", "range": [0.0, 0.2]}], "simplex": ["a", "b"]}
        with pytest.raises(FeaturesError, match="simplex"):
            parse_features(tree, "file")
    assert math.isnan(MIXED.features[4].table[-1])
