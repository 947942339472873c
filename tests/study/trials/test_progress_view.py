"""Progress as one process sees it: read at times, with its own students counted by their steps or their time."""

import optuna
import pytest
from made_trials import trial

from dfkd_tune.search.study_file import StudySection
from dfkd_tune.study.trials import progress_view
from dfkd_tune.study.trials.active_trial import ActiveTrial
from dfkd_tune.study.trials.progress_view import ProgressView
from dfkd_tune.testing.problems import recipe
from dfkd_tune.training.member import Member


@pytest.fixture
def seen() -> list:
    return []


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study()


@pytest.fixture
def view(study, seen) -> ProgressView:
    return ProgressView(study, StudySection(trials=2, reruns=0), 0, seen.append)


def active(study, clock: int, seconds: float = 0.0, baseline: bool = False) -> ActiveTrial:
    member = Member("any", recipe(), 0, clock=clock)
    return ActiveTrial("any", None if baseline else study.ask(), member, seconds)


def test_the_study_is_read_when_this_process_changed_it_or_after_a_while(study, view, seen, monkeypatch):
    monkeypatch.setattr(progress_view, "POLL_S", 3600.0)
    study.add_trial(trial(0.5))
    view.show([])
    view.changed = True
    view.show([], fresh=False)
    assert [each.done for each in seen] == [0, 0]
    view.show([], waiting="for the others")
    assert (seen[-1].done, seen[-1].waiting, view.changed) == (1, "for the others", False)
    study.add_trial(trial(0.25))  # by another process
    view.show([])
    monkeypatch.setattr(progress_view, "POLL_S", 0.0)
    view.show([])
    assert [each.done for each in seen[-2:]] == [1, 2]


def test_running_trials_count_by_their_share_and_the_baseline_does_not(study, view, seen):
    view.show([active(study, 15), active(study, 30, baseline=True)])
    assert seen[-1].share == pytest.approx(0.25) and len(seen[-1].running_trials) == 2
    study.add_trial(trial(0.5, seconds=10.0))
    view.changed = True
    view.show([active(study, 15, seconds=2.5)])  # a trial takes 10 s, whatever its steps
    assert seen[-1].share == pytest.approx(0.5 + 0.125)
    view.show([active(study, 15, seconds=1000.0), active(study, 15, seconds=1000.0)])
    assert seen[-1].share == 1.0
