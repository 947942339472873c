"""A study is opened again with other random numbers, and its pruner sees a smoothed curve."""

import optuna
import pytest
from optuna.trial import TrialState

from dfkd_tune.errors import StudyMismatch
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.sampling import begin_session, open_study, smoothed, without_experimental_warnings
from dfkd_tune.search.storage import open_storage


@pytest.fixture
def storage(tmp_path):
    made = open_storage(f"sqlite:///{tmp_path}/optuna.db")
    yield made
    made.engine.dispose()


def drawn(study: optuna.Study) -> float:
    return study.ask().suggest_float("x", 0, 1)


def test_the_seed_decides_and_a_session_does_not_repeat_another(storage):
    with without_experimental_warnings():
        first, same, other = (open_study(storage, name, seed) for name, seed in (("one", 3), ("two", 3), ("three", 4)))
        refused = open_study(storage, "one", 3)  # whose settings were not agreed
        assert StudyRecord.of(refused).sessions == 0
        begin_session(refused)
        again = open_study(storage, "one", 3)  # as it was begun, and has no trial yet
        assert StudyRecord.of(again).sessions == 1
        values = [drawn(study) for study in (first, same, other, again)]
    assert values[0] == values[1] and len({*values}) == 3


def test_with_two_objectives_nothing_is_pruned(storage):
    study = open_study(storage, "weighed", 0, objectives=2)
    assert isinstance(study.pruner, optuna.pruners.NopPruner) and len(study.directions) == 2
    assert not isinstance(open_study(storage, "plain", 0).pruner, optuna.pruners.NopPruner)


def test_a_study_of_another_program_is_left_as_it_is(storage):
    theirs = optuna.create_study(study_name="theirs", storage=storage)
    theirs.tell(theirs.ask(), state=TrialState.FAIL)
    with pytest.raises(StudyMismatch, match=r"study 'theirs': .* was not made by dfkd-tune"):
        open_study(storage, "theirs", 0)
    assert theirs.user_attrs == {}


def test_a_curve_is_smoothed_over_its_last_three_points():
    curve = [(0, 9.0), (1, 1.0), (2, 2.0), (3, 6.0)]
    assert [smoothed(curve[:n]) for n in (1, 2, 3, 4)] == [9.0, 5.0, 4.0, 3.0]
