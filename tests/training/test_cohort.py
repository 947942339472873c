"""Members of one structure in one pass: what is told of their bounds, and what a single member draws."""

import pytest
import torch

from dfkd_tune.generators.ascending.direct import Direct
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.recipes.presets import RANDOM
from dfkd_tune.testing.problems import Counting, make_problem, network, recipe, run
from dfkd_tune.training.cohort import Cohort
from dfkd_tune.training.member import Member
from dfkd_tune.utils.strategy import strategy


def test_what_the_bounds_held_is_told():
    """Clipped at every step, most rows end on the edge of a small box around their start; within a huge one, none does."""
    problem = make_problem()
    held = {}
    for radius in (0.05, 50.0):
        sections = {
            "input_bound": {"kind": "linf", "radius": radius},
            "bound": {"kind": "clip", "threshold": radius / 25},
        }
        (member,) = run(problem, Member("solo", recipe(**sections), 1))
        held[radius] = member.synthesis
    assert held[0.05]["active/input_bound"] > 0.9 and held[50.0]["active/input_bound"] == 0.0
    assert held[0.05]["active/bound"] > held[50.0]["active/bound"] == 0.0
    assert 0 < held[50.0]["gap/q10"] <= held[50.0]["gap/q50"] <= held[50.0]["gap/q90"]


def begun(problem, *recipes):
    members = [Member(k, one, k) for k, one in enumerate(recipes)]
    for member in members:
        member.begin(problem)
    return members


def test_members_come_back_as_they_went_in():
    """Narrow ones without the zeros that they were padded with."""
    problem = make_problem()
    members = begun(problem, *(recipe(student={"width": width}) for width in (3, 9, 1)))
    before = [[w.clone() for w in member.weights] for member in members]
    cohort = Cohort(problem, members)
    assert cohort.flat.shape == (3, members[1].recipe.student.parameters(problem.columns, 1))
    cohort.unstack()
    for member, weights in zip(members, before, strict=True):
        assert all(map(torch.equal, member.weights, weights))


def test_steps_may_be_taken_in_any_portions():
    """Across the blocks in which rows are drawn, too."""
    problem, ends = make_problem(), []
    for portions in ([130], [1, 99, 30], [65, 65]):
        (member,) = begun(problem, recipe(steps=130))
        cohort = Cohort(problem, [member])
        for count in portions:
            cohort.run(count)
        cohort.unstack()
        ends.append(torch.cat([w.flatten() for w in member.weights]))
        assert member.clock == 130
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[0], ends[2])


@pytest.mark.parametrize("kind, queries", [("direct", 9), ("zeroth_order", 9 * 9), ("sobol", 0)])
def test_a_draw_is_counted_but_its_labels_are_not(kind, queries):
    """The caller labels the rows. The first step of an ascent is known: two steps cost one query a row."""
    counting = Counting(network())
    problem = make_problem(counting)
    (member,) = begun(problem, recipe(generator=kind))
    before = counting.rows
    assert Cohort(problem, [member]).draw(9).shape == (9, problem.features)
    assert member.teacher_rows == counting.rows - before == queries


def test_a_recipe_without_synthetic_rows_draws_prior_rows():
    problem = make_problem()
    (member,) = begun(problem, recipe(RANDOM))
    drawn = Cohort(problem, [member]).draw(20)
    assert torch.cdist(drawn, problem.pool.z).amin(1).max() < 1e-6 and member.teacher_rows == 0


SEEN = []


@strategy
class Seeing(Direct):
    """``direct`` that keeps what it observes."""

    @staticmethod
    def observe(h, state, context, rows, values):
        SEEN.append((rows.clone(), values.clone()))


def test_a_generator_observes_the_batches_that_its_members_learn_from(monkeypatch):
    """With the teacher's outputs, and at no query."""
    SEEN.clear()
    problem = make_problem()
    monkeypatch.setitem(GENERATORS._own, "seeing", Seeing)
    one = recipe(generator="direct", steps=3)
    seeing, plain = (begun(problem, *[recipe(one, generator=kind)] * 2) for kind in ("seeing", "direct"))
    for members in (seeing, plain):
        Cohort(problem, members).run(3)
    batch = one.batch
    assert [member.teacher_rows for member in seeing] == [member.teacher_rows for member in plain]
    assert [rows.shape for rows, _ in SEEN] == [(2, batch, problem.features)] * 3
    for rows, values in SEEN:
        torch.testing.assert_close(values, problem.answer(rows.flatten(0, 1)).view_as(values))
        drawn = torch.cdist(rows, problem.pool.z).amin(-1) < 1e-6
        assert drawn[:, batch // 2 :].all() and not drawn[:, : batch // 2].any()
