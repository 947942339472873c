"""Helpers of the conformance tests do what they say: every variant, the random numbers of a member, batches before the step."""

from itertools import islice
from typing import Literal

import torch

from dfkd_tune.testing.problems import KNOWN, batches, draws, make_problem, network, raw, recipe, rng, variants
from dfkd_tune.training.member import Member
from dfkd_tune.utils.strategy import strategy


@strategy
class Choices:
    """Two fields of few values, and one of many."""

    kind: Literal["a", "b", "c"] = "a"
    on: bool = True
    width: int = 3


def test_variants_change_one_field_each():
    assert {(each.kind, each.on, each.width) for each in variants(Choices)} == {
        ("a", True, 3), ("b", True, 3), ("c", True, 3), ("a", False, 3)
    }  # fmt: skip


def test_a_problem_is_made_alike_whatever_way_its_teacher_is_called():
    plain, quick = make_problem(outputs=2), make_problem(outputs=2, quick=True)
    torch.testing.assert_close(plain.pool.values, quick.pool.values)
    assert plain.teacher.fast is None is not quick.teacher.fast
    x = raw(KNOWN, KNOWN.draw(50, rng()))
    assert network(outputs=2)(x).std(0).log10().diff().abs() > 0.5  # outputs of different scales


def test_batches_are_of_the_rows_that_a_member_draws():
    problem, given = make_problem(), recipe(generator="gaussian", steps=5)
    member = Member("a", given, 0)
    member.begin(problem)
    drawn = [problem.pool.z[index] for index in islice(draws(problem, member), 5)]
    seen = batches(problem, Member("a", given, 0))
    assert len(seen) == 5
    for (x, gap), z in zip(seen, drawn, strict=True):
        assert torch.equal(x, z) and gap.shape == (12, 1) and gap.abs().max() > 0


def test_a_recipe_takes_kinds_fields_and_strategies():
    made = recipe(generator="direct", student={"width": 5}, loss=recipe(loss="mse").loss)
    assert (type(made.generator).__name__, made.student.width, made.steps, made.batch) == ("Direct", 5, 30, 12)
