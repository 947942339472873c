"""A process trains the trials that it has claimed and no others, and leaves those that it must not end."""

import pytest
from optuna.trial import TrialState

from dfkd_tune.search.attributes import BASELINE, StudyRecord
from dfkd_tune.search.locks import StudyLock
from dfkd_tune.search.trial_queue import Heartbeat
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.trials.handing_out import claims_of
from dfkd_tune.study.trials.progress_view import ProgressView
from dfkd_tune.study.trials.trainer import Trainer
from dfkd_tune.tracking.tracker import Tracker

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def training(store, tiny, request):
    """A trainer of two trials and the baseline, taken up."""
    stop: list[int] = []
    prepared = tiny(request.node.name.replace("_", "-")[:60], trials=2)
    study, queue = open_queue(prepared, store.storage, store.tracking)
    known, problem = StudyRecord.of(study), prepared.stressed(prepared.problem(), lambda member: None)
    tracker = Tracker(store.tracking, prepared.spec.name, store.storage, known=True)
    tracker.open_study(prepared.params(problem), prepared.tags())
    claims = claims_of(queue, prepared, known, problem, lambda: None)
    view = ProgressView(study, prepared.spec.study, 0, lambda progress: None)
    lock = StudyLock(queue.storage, store.storage, study, BASELINE)
    works = (queue, claims, problem, tracker, view, Heartbeat(queue), lock, lambda: bool(stop))
    trainer = Trainer(prepared, study, known, *works)
    trainer.refill()
    yield trainer, stop
    trainer.stop()
    queue.give_back()
    lock.release()
    tracker.close_all_running()
    tracker.close()


def states(trainer: Trainer) -> list[TrialState]:
    return [trial.state for trial in trainer.study.get_trials(deepcopy=False)]


def test_what_was_taken_up_is_finished_and_recorded(training):
    trainer, _ = training
    assert trainer.active.keys() == {"trial-0000", "trial-0001", BASELINE}
    while trainer.active:
        trainer.step()
    assert states(trainer) == [TrialState.COMPLETE] * 2
    assert StudyRecord.of(trainer.study).baseline is not None
    trainer.refill()
    assert not trainer.active


def test_a_trial_that_another_worker_took_is_dropped_unended(training):
    trainer, _ = training
    trainer.queue.give_back()
    trainer.step()
    assert trainer.active.keys() <= {BASELINE}
    assert states(trainer) == [TrialState.WAITING] * 2


def test_nothing_ends_after_a_stop(training):
    trainer, stop = training
    stop.append(1)
    before = set(trainer.active)
    for _ in range(12):  # more rungs than a trial has
        if any(not running.member.finished for running in trainer.active.values()):
            trainer.step()
    assert set(trainer.active) == before and states(trainer) == [TrialState.RUNNING] * 2
