"""A teacher's assistant: a student trains on more rows than are answered, and the teacher is asked nothing more."""

from dataclasses import replace

import pytest
import torch

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.assistants import Committee, Wider
from dfkd_tune.recipes.presets import FEW_QUERIES, PAPER, RANDOM
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.testing.problems import Counting, finish, make_problem, network, recipe, rng, run
from dfkd_tune.training.answered.assistant import assistants_of, committee_lesson, dismiss, lesson
from dfkd_tune.training.answered.finished_student import FinishedStudent
from dfkd_tune.training.answered.folds import FOLDS
from dfkd_tune.training.answered.problem import Answered, AnsweredProblem
from dfkd_tune.training.distill import conclude, distill
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population

HELPED = Wider(times=3, members=2, rows=200, share=0.5)


def part(rows: int, seed: int):
    x = torch.randn(rows, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x, network()(x)


def answered(rounds: int = 0) -> AnsweredProblem:
    """A problem whose teacher must not be asked."""

    def never(x):
        raise AssertionError("the teacher is asked")

    parts = Answered(part(30, 0), part(60, 1), part(20, 2), tuple(part(10, 3 + i) for i in range(rounds)))
    teacher = Teacher("priced", never, torch.float64, "sha")
    return AnsweredProblem(teacher, Inputs.unknown(4), Probe(4, 1, False, 1e6), parts, dtype=torch.float64)


def helped(base=FEW_QUERIES, **sections):
    return recipe(base, assistant=sections.pop("assistant", HELPED), **sections)


def spied(monkeypatch, name: str) -> list[Member]:
    """Members whose ``name`` is called."""
    seen, original = [], getattr(Member, name)

    def spy(member, *arguments):
        seen.append(member)
        return original(member, *arguments)

    monkeypatch.setattr(Member, name, spy)
    return seen


def test_a_student_trains_on_more_rows_than_are_answered_and_nothing_is_asked():
    problem = answered()
    (member,) = run(problem, Member("a", helped(), 0))
    assert member.failure is None and member.teacher_rows == 0 and problem.queries == 0
    assert member.lesson is not None and len(member.lesson) == 200 > problem.answered_rows
    known = {row.numpy().tobytes() for row in problem.pool.z}
    assert not any(row.numpy().tobytes() in known for row in member.lesson.z)
    (alone,) = run(problem, Member("a", helped(assistant={"kind": "none"}), 0))
    assert not all(map(torch.equal, member.weights, alone.weights))


def test_the_count_of_a_teacher_that_can_be_asked_is_that_without_an_assistant():
    counts = []
    for assistant in (HELPED, {"kind": "none"}):
        counting = Counting(network())
        problem = make_problem(counting)
        before = counting.rows
        (member,) = run(problem, Member("a", helped(PAPER, assistant=assistant), 0))
        counts.append((counting.rows - before, member.teacher_rows))
    assert counts[0] == counts[1] and counts[0][1] > 0


def test_batches_have_the_share_of_labeled_rows(monkeypatch):
    problem, seen = answered(), []
    original = Member.replace_by_lesson

    def spy(member, z, values, gradients):
        before = z.clone()
        original(member, z, values, gradients)
        seen.append(((z != before).any(1), z.clone(), values.clone(), member.lesson))

    monkeypatch.setattr(Member, "replace_by_lesson", spy)
    run(problem, Member("a", helped(batch=12), 0))
    assert len(seen) == FOLDS * 30
    for replaced, z, values, taught in seen:
        assert replaced.tolist() == [False] * 6 + [True] * 6
        labels = {row.numpy().tobytes(): y for row, y in zip(taught.z, taught.values, strict=True)}
        assert all(torch.equal(labels[row.numpy().tobytes()], y) for row, y in zip(z[6:], values[6:], strict=True))


def test_rows_that_are_held_out_never_reach_an_assistant(monkeypatch):
    problem = answered(2)
    drew = spied(monkeypatch, "draw_block")
    run(problem, Member("a", helped(), 0))
    assistants = {id(each): each for each in drew if "assistant" in repr(each.key)}.values()
    assert len(assistants) == FOLDS * 2
    for each in assistants:
        held = {
            row.numpy().tobytes()
            for name in ("pruning", "selection", "stress")
            for row in problem.bank(name, each.fold).z
        }
        trained = {row.numpy().tobytes() for row in problem.pool.z[each.block.flatten()]}
        assert trained and not trained & held
    assert {each.fold for each in assistants} == set(range(FOLDS))


def test_a_lesson_is_the_mean_of_the_assistants():
    problem, member = answered(), Member("a", helped(), 0)
    assistants = run(problem, *assistants_of(member, problem))
    parts = []
    for each in assistants:
        assert each.recipe.student.width == 3 * member.recipe.student.width
        member.assistants = [each]
        parts.append(lesson(problem, member).values)
    member.assistants = assistants
    torch.testing.assert_close(lesson(problem, member).values, torch.stack(parts).mean(0))
    assert not torch.equal(*parts)


def test_its_slopes_are_those_of_its_outputs():
    """For a loss that matches input gradients; by finite differences."""
    problem = make_problem(outputs=2)
    one = helped(RANDOM, loss="sobolev", assistant=replace(HELPED, members=1))
    member = Member("a", one, 0)
    member.assistants = run(problem, *assistants_of(member, problem))
    found = lesson(problem, member)
    assert found.gradients is not None and found.gradients.shape == (200, 2, 4)
    (assistant,), step = member.assistants, 1e-5
    weights = [w.unsqueeze(0) for w in assistant.result()]
    for i in range(4):
        move = step * torch.eye(4, dtype=torch.float64)[i]
        ahead, behind = (
            assistant.recipe.student.answer(weights, problem.encoder.rows((found.z + s * move)[None]), problem.columns)
            for s in (1, -1)
        )
        torch.testing.assert_close((ahead - behind)[0] / (2 * step), found.gradients[:, :, i], rtol=1e-5, atol=1e-7)
    assert distill(problem, one, 0).failure is None


def test_a_refiner_learns_from_the_lesson_too(monkeypatch):
    problem = answered()
    drew = spied(monkeypatch, "lesson_rows")
    one = helped(refiner={"kind": "lbfgs", "rows": 40, "synthetic": 0.0, "after": 0.5})
    (member,) = run(problem, Member("a", one, 0))
    before = len(drew)
    assert conclude(problem, member, 0.0).failure is None and len(drew) > before


@pytest.mark.parametrize("interrupted", [1, 3, 7])
def test_a_student_is_the_same_in_company_and_after_it_left_and_returned(interrupted):
    (alone,) = run(answered(), Member("a", helped(), 0))
    population = Population(answered())
    others = [helped(steps=50), recipe(FEW_QUERIES), helped(assistant=Wider(rows=100))]
    members = [Member("a", helped(), 0), *(Member(i, one, i) for i, one in enumerate(others))]
    for member in members:
        population.admit(member)
    for _ in range(interrupted):
        for each in population.advance():
            if each.finished:
                population.release(each.key)
    if "a" in [each.key for each in population.members]:
        population.admit(population.release("a"))
    finish(population)
    assert dict(members[0].curve) == pytest.approx(dict(alone.curve))
    for mine, theirs in zip(members[0].result(), alone.result(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_rows_that_are_answered_meanwhile_change_no_lesson():
    """A member draws from its lesson, whatever happens to the pool."""
    population, member = Population(answered()), Member("a", helped(), 0)
    population.admit(member)
    while member.lesson is None:
        population.advance()
    z = member.lesson.z.clone()
    population.problem.grow(answered(2)._answered)
    finish(population)
    assert member.failure is None and torch.equal(member.lesson.z, z)


def test_a_student_whose_assistant_diverges_has_failed():
    problem, member = answered(), Member("a", helped(optimizer={"kind": "adam", "lr": 1e300}), 0)
    population = Population(problem)
    population.admit(member)
    while not (due := population.advance()):
        pass
    assert due == [member] and member.finished and member.clock == 0
    assert member.failure is not None and member.failure.startswith("its assistant diverged: the RMSE is ")
    outcome = conclude(problem, population.release("a"), 0.0)
    assert outcome.failure == member.failure and outcome.selection is None and outcome.curve == []


def taught(problem, count: int, folds: int = FOLDS) -> list[FinishedStudent]:
    """Finished students with random weights, others for every fold."""
    student, made = recipe(FEW_QUERIES).student, []
    for k in range(count):
        every = [student.init_params(problem.columns, 1, rng(10 * k + fold), problem.dtype) for fold in range(folds)]
        made.append(FinishedStudent(student, every))
    return made


ASKED = Committee(members=2, rows=150, share=0.5)


def test_a_committee_labels_for_each_fold_by_its_students_of_that_fold():
    problem, member = answered(), Member("a", helped(assistant=ASKED), 0)
    problem.finished = taught(problem, 3)
    run(problem, member)
    for each in (member, *(Member((member.key, k), member.recipe, member.seed, fold=k) for k in range(1, FOLDS))):
        found = committee_lesson(problem, each)
        rows = problem.encoder.rows(found.z[None])
        outputs = [
            one.student.answer([w.unsqueeze(0) for w in one.folds[each.fold]], rows, problem.columns)[0]
            for one in problem.finished[:2]  # the best of three
        ]
        torch.testing.assert_close(found.values, torch.stack(outputs).mean(0))
    assert len(member.lesson) == 150 and problem.queries == 0


def test_nobody_labels_before_there_is_a_committee():
    (alone,) = run(answered(), Member("a", helped(assistant={"kind": "none"}), 0))
    (early,) = run(answered(), Member("a", helped(assistant=ASKED), 0))
    assert early.lesson is None and all(map(torch.equal, alone.weights, early.weights))
    problem = answered()
    problem.finished = taught(problem, 2)
    (plain,) = run(problem, Member("a", helped(assistant={"kind": "none"}), 0))
    (late,) = run(problem, Member("a", helped(assistant=ASKED), 0))
    assert all(map(torch.equal, alone.weights, plain.weights)) and not torch.equal(late.weights[0], plain.weights[0])


def test_a_fold_that_no_member_of_a_committee_trained_for_has_no_lesson():
    problem, member = answered(), Member("a", helped(assistant=ASKED), 0, fold=1)
    problem.finished = taught(problem, 2, folds=1)
    assert committee_lesson(problem, member) is None


def test_dismissed_assistants_are_let_go():
    problem, member = answered(), Member("a", helped(), 0)
    member.assistants = run(problem, *assistants_of(member, problem))
    dismiss(problem, member)
    assert member.assistants == [] and member.failure is None and member.lesson is not None
