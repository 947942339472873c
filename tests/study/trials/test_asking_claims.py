"""Rounds of rows are asked when their share of the trials has ended, by a committee of the best of them."""

from types import SimpleNamespace

import optuna
import pytest
import torch
from safetensors.torch import load_file

from dfkd_tune.inputs.encoding import encoder
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.assistants import MOST_MEMBERS
from dfkd_tune.recipes.presets import FEW_QUERIES
from dfkd_tune.search.attributes import RECIPE, StudyRecord
from dfkd_tune.study.trials.asking_claims import MEMBERS, AskingClaims
from dfkd_tune.study.trials.claims import Intake
from dfkd_tune.testing.problems import rng
from dfkd_tune.training.answered.finished_student import keep

ROUNDS, TRIALS = 3, 20


class Asking:
    """Notes the rounds that are asked, and the sizes of their committees."""

    def __init__(self, begun=0):
        self.total = SimpleNamespace(division=SimpleNamespace(rounds=(10,) * ROUNDS))
        self.asked, self.before = {}, begun

    def begun(self):
        return self.before

    def round(self, number, committee):
        self.asked[number] = committee()

    def answered(self, rounds):
        return Grown(rounds)


class Grown(int):
    """Answered rows up to a round, which is their number here."""

    shared = property(int)


class Problem:
    """What a committee needs of a problem."""

    answered_rows, population = 0, None

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, students):
        self.students, self.grown, self.encoder = students, [], encoder(Inputs.unknown(2))
        self.columns, self.grow, self.finished, self.outputs = self.encoder.columns, self.grown.append, (), 1

    def student_file(self, key):
        return self.students / f"{key}.safetensors"


@pytest.fixture
def study(tmp_path):
    import json

    study, recipe = optuna.create_study(), FEW_QUERIES
    (tmp_path / "students").mkdir()
    for number in range(12):
        trial = optuna.trial.create_trial(value=12.0 - number, user_attrs={RECIPE: json.dumps(recipe.tree())})
        study.add_trial(trial)
        weights = recipe.student.init_params(encoder(Inputs.unknown(2)).columns, 1, rng(number), torch.float32)
        keep(tmp_path / "students" / f"trial-{number:04d}.safetensors", [weights])
    return study


def take(study, folder, size: int, active: int = 0, total: int = TRIALS, begun: int = 0, hand_out=lambda *given: ()):
    asking, problem = Asking(begun), Problem(folder / "students")
    inner = SimpleNamespace(pause=0.5, take=lambda *given: Intake(hand_out(*given), baseline=True))
    claims = AskingClaims(inner, asking, problem, study, lambda answered: MOST_MEMBERS, size)
    assert not claims.take(total, active, False).baseline and claims.pause == 0.5  # it waits for all rows
    return asking, problem, claims


def test_rounds_that_are_due_are_asked_once(study, tmp_path):
    asking, problem, claims = take(study, tmp_path, 1)  # 12 of 20 trials have ended: after 5 and 10 a round is due
    assert [*asking.asked] == [1, 2] and problem.grown == [2]
    claims.take(TRIALS, 0, False)
    assert problem.grown == [2]


def test_all_rounds_are_asked_when_all_trials_have_ended(study, tmp_path):
    """Though the last round of trials is shorter than the others, and ends after the last look for trials."""
    asking, problem, _ = take(study, tmp_path, 8, total=12)
    assert [*asking.asked] == [1, 2, 3] and problem.grown == [3]
    asking, _, claims = take(study, tmp_path, 8, active=1, total=12)
    assert not asking.asked
    claims.catch_up()
    assert [*asking.asked] == [1, 2, 3]


def test_trials_that_are_added_train_on_the_rows_that_were_asked_before(study, tmp_path):
    asking, problem, _ = take(study, tmp_path, 1, total=200, begun=3)
    assert [*asking.asked] == [1, 2, 3] and problem.grown == [3]


def test_a_round_of_trials_that_ends_during_a_look_for_trials_is_seen(study, tmp_path):
    """The next round of trials is handed out in the same look."""

    def hand_out(*given):
        for _ in range(4):
            study.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL))
        return ["a trial of the next round"]

    asking, problem, _ = take(study, tmp_path, 8, hand_out=hand_out)
    assert [*asking.asked] == [1, 2, 3] and problem.grown == [1, 3]


def test_what_begins_after_all_trials_has_the_rows_that_others_asked(study, tmp_path):
    _, problem, claims = take(study, tmp_path, 8)
    claims.catch_up()
    assert problem.grown == [1, ROUNDS]
    problem.answered_rows = ROUNDS
    claims.catch_up()
    assert problem.grown == [1, ROUNDS]


def test_what_begins_after_all_trials_has_all_of_their_students_the_best_first(study, tmp_path, caplog):
    _, problem, claims = take(study, tmp_path, 8)
    assert problem.finished == ()
    problem.student_file("trial-0010").unlink()  # it trained on another machine
    problem.student_file("trial-0004").write_bytes(b"garbage")
    claims.catch_up()
    claims.catch_up()
    (lost,) = [each.getMessage() for each in caplog.records if "label rows" in each.getMessage()]
    assert "10 students label rows for its re-runs instead of 12, as" in lost and f"{tmp_path / 'students'}" in lost
    best = [
        trial.number for trial in sorted(study.trials, key=lambda trial: trial.value) if trial.number not in (4, 10)
    ]
    kept = [load_file(problem.student_file(f"trial-{number:04d}"))["0.0"] for number in best]
    assert len(kept) == 10 == StudyRecord.of(study).committee and all(
        torch.equal(each.weights(0)[0], first) for each, first in zip(problem.finished, kept, strict=True)
    )


def test_the_committee_are_the_best_students(study, tmp_path):
    asking, _, _ = take(study, tmp_path, 1)
    z = torch.randn(3, 2, generator=rng())
    answers = [student(z) for student in asking.asked[1]]
    assert len(answers) == MEMBERS and all(answer.shape == (3, 1) for answer in answers)
    assert not torch.equal(answers[0], answers[1])


def test_a_round_of_trials_has_the_same_rows_on_any_number_of_processes(study, tmp_path):
    asking, _, _ = take(study, tmp_path, 8)  # only the first 8 of the 12 are a whole round of trials
    assert [*asking.asked] == [1]
    assert [*take(study, tmp_path, 8, active=2)[0].asked] == []


def test_nobody_is_read_who_labels_nothing(study, tmp_path, caplog):
    """Few different rows are all answered, and with many rows nobody labels."""
    problem = Problem(tmp_path / "students")
    problem.student_file("trial-0011").write_bytes(b"garbage")
    for answered, population, expected in ((ROUNDS, None, 3), (ROUNDS, 27, 0), (ROUNDS + 1, None, 0)):
        asking, problem.population = Asking(), population
        asking.total.division.rounds = (10,) * answered
        claims = AskingClaims(
            SimpleNamespace(pause=0.5), asking, problem, study, lambda answered: 3 if answered <= ROUNDS else 0
        )
        caplog.clear()
        claims.catch_up()
        assert len(problem.finished) == expected and bool(caplog.records) == bool(expected)
