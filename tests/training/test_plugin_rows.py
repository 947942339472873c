"""What a plug-in's generator draws reaches teacher and student as declared, or is refused with the plug-in's name."""

from typing import ClassVar

import pytest
import torch

from dfkd_tune.errors import PluginError
from dfkd_tune.generators.base import BlockGenerator, StepGenerator
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.testing.generators import rows_are_finite_and_as_declared
from dfkd_tune.testing.problems import make_problem, recipe, run
from dfkd_tune.training.member import Member
from dfkd_tune.utils import plugins
from dfkd_tune.utils.strategy import strategy

MIXED = parse_features(
    {
        "features": [
            {"name": "free"},
            {"name": "ranged", "range": [-1, 2]},
            {"name": "whole", "range": [0, 9], "integer": True},
            {"name": "leveled", "levels": [0, 1, 5]},
            {"name": "gear", "levels": ["low", "high", "reverse"]},
            {"name": "a"},
            {"name": "b", "range": [0.1, 0.6]},
            {"name": "c"},
        ],
        "simplex": ["a", "b", "c"],
    },
    "mixed",
)


@strategy
class WildBlock(BlockGenerator):
    """Rows far outside of every range, between levels and whole numbers."""

    spread: float = 30.0

    def engine(self, features, seed):
        return torch.Generator().manual_seed(seed)

    def block(self, inputs, steps, rows, engine):
        return self.spread * torch.randn(steps, rows, len(inputs), generator=engine, dtype=torch.float64)


@strategy
class WildStep(StepGenerator):
    """Leaves the declaration at every move, and asks the teacher there in every way that it can."""

    needs_gradients: ClassVar[bool] = True
    step_size: float = 30.0

    @staticmethod
    def sample(h, state, context):
        x = context.origin + h.step_size * context.noise(*context.origin.shape[1:])
        x = x + h.step_size * context.objective_gradient(x, torch.zeros_like(h.step_size))
        context.query(x)
        context.values(x)
        context.query_one(0, x[0])
        return x


@strategy
class Misshapen(WildBlock):
    def block(self, inputs, steps, rows, engine):
        return super().block(inputs, steps, rows, engine)[:, 1:]


@strategy
class Whole(WildStep):
    @staticmethod
    def sample(h, state, context):
        return context.origin.long()


@strategy
class Nothing(WildStep):
    @staticmethod
    def sample(h, state, context):
        return None


@strategy
class NaNBlock(WildBlock):
    def block(self, inputs, steps, rows, engine):
        z = super().block(inputs, steps, rows, engine)
        z[0, 0] = torch.nan
        return z


@strategy
class NaNStep(WildStep):
    @staticmethod
    def sample(h, state, context):
        x = context.origin.clone()
        x[:, 0, 0] = torch.inf
        return x


@pytest.fixture
def wild(monkeypatch):
    """Registers a generator as one of a package, and gives a recipe that uses it."""
    monkeypatch.setattr(plugins, "_packages", lambda: {__name__.partition(".")[0]: "wild-kinds 0.3"})

    def registered(kind, **sections):
        monkeypatch.setitem(GENERATORS._own, "wild", kind)
        return recipe(generator="wild", steps=12, batch=8, **sections)

    return registered


@pytest.mark.parametrize("quick", [False, True], ids=["called", "fused"])
@pytest.mark.parametrize("kind", [WildBlock, WildStep])
def test_every_row_is_as_declared(wild, monkeypatch, kind, quick):
    problem, one = make_problem(inputs=MIXED, quick=quick), wild(kind)
    asked, trained, encoder = [], [], problem.encoder

    def hearing(ask, heard):
        return lambda *given: (heard.append(given[-1].detach().reshape(-1, len(MIXED)).clone()), ask(*given))[1]

    for name in ("answer", "vjp"):
        monkeypatch.setattr(problem, name, hearing(getattr(problem, name), asked))
    with monkeypatch.context() as patch:
        patch.setattr(type(encoder), "rows", hearing(type(encoder).rows, trained))
        run(problem, Member("a", one, 0))
    assert asked and trained
    # The context gives the student's outputs wherever a plug-in asks for them; the last rows of a step are those it trains on.
    trained = [z for z in trained if len(z) == one.batch]
    for z in (torch.cat(trained), torch.cat(asked)):
        torch.testing.assert_close(z, MIXED.project(z), rtol=0, atol=1e-9)
        raw = z * MIXED.scale + MIXED.center
        assert raw[:, 1].min() >= -1 - 1e-9 and raw[:, 1].max() <= 2 + 1e-9
        torch.testing.assert_close(raw[:, 2], raw[:, 2].round(), rtol=0, atol=1e-9)
        assert {round(float(v), 9) for v in raw[:, 3].unique()} <= {0.0, 1.0, 5.0}
        torch.testing.assert_close(raw[:, 5:].sum(1), torch.ones(len(raw), dtype=raw.dtype), rtol=0, atol=1e-9)
        assert raw[:, 5:].min() >= -1e-9 and raw[:, 6].min() >= 0.1 - 1e-9 and raw[:, 6].max() <= 0.6 + 1e-9


@pytest.mark.parametrize("kind", [WildBlock, WildStep])
def test_a_refiner_and_a_query_budget_draw_declared_rows_too(wild, kind):
    problem = make_problem(inputs=MIXED)
    for sections in ({"teacher_rows": 60}, {"refiner": {"kind": "lbfgs", "synthetic": 0.5}}):
        (member,) = run(problem, Member("a", wild(kind, **sections), 0))
        assert member.failure is None
        if member.answered:
            z = member.answered[0]
            torch.testing.assert_close(z, MIXED.project(z), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [WildBlock, WildStep])
def test_the_law_of_declared_rows_holds_for_them(wild, kind):
    wild(kind)
    rows_are_finite_and_as_declared("wild")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Misshapen, r"must draw floating-point rows of shape \(100, 4, 8\), drew \(100, 3, 8\)"),
        (Whole, r"must draw floating-point rows of shape \(1, 4, 8\), drew \(1, 4, 8\) of torch.int64"),
        (Nothing, r"must draw floating-point rows of shape \(1, 4, 8\), drew NoneType"),
    ],
)
def test_what_holds_no_rows_is_refused(wild, kind, told):
    problem, one = make_problem(inputs=MIXED), wild(kind)
    with pytest.raises(PluginError, match=f"plug-in wild-kinds 0.3: generator {kind.__name__} {told}"):
        run(problem, Member("a", one, 0))


@pytest.mark.parametrize("kind", [NaNBlock, NaNStep])
def test_rows_that_are_not_finite_end_their_member_alone(wild, kind):
    problem, other = make_problem(inputs=MIXED), recipe(steps=12, batch=8)
    mine, companion = run(problem, Member("a", wild(kind), 0), Member("b", other, 1))
    assert mine.failure == f"generator {kind.__name__} of plug-in wild-kinds 0.3 drew 1 rows that hold NaN or infinity"
    assert companion.failure is None
