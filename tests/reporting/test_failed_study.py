"""A study in which no trial completes fails in one line, from every side, and keeps what it recorded."""

import json

import pytest
import torch
import yaml
from asked import assert_refused

import dfkd_tune as dt
from dfkd_tune.errors import StudyFailed
from dfkd_tune.reporting.failed_study import require_complete
from dfkd_tune.search.progress import FinishedTrial, Progress, StudyResult

pytestmark = pytest.mark.usefixtures("undrawn")
DIVERGING = {"optimizer.lr": [1e30]}


@pytest.fixture(scope="module")
def lost(store, tree, tmp_path_factory):
    """The study file and the options of a study whose students all diverge."""
    file = tmp_path_factory.mktemp("lost") / "lost.yaml"
    file.write_text(yaml.safe_dump(tree("lost", trials=2, search=DIVERGING)))
    return ["study", file, "--workers", "1", *store.options]


def test_the_command_a_resume_and_a_worker_fail_alike(dfkd, store, lost):
    said = "'lost'", "no trial completed (2 pruned); the last is trial 1: diverged: the RMSE is", "lower optimizer.lr"
    assert_refused(dfkd(*lost, "--quiet"), *said)
    recorded = [trial.user_attrs["record"] for trial in store.trials("lost")]
    assert_refused(dfkd(*lost), *said)
    assert_refused(dfkd("worker", "lost", *store.options), *said)
    assert [trial.user_attrs["record"] for trial in store.trials("lost")] == recorded  # nothing ran again
    assert {run.info.status for run in store.runs("lost", "trial")} == {"KILLED"}


def test_events_end_before_the_failure(dfkd, lost):
    ended = dfkd(*lost, "--json")
    last = json.loads(ended.out.splitlines()[-1])
    assert (last["event"], last["ended"], last["promoted"]) == ("end", 2, None)
    assert ended.status == 1 and "no trial completed" in ended.err


def test_show_gives_the_reasons(dfkd, store, lost):
    dfkd(*lost)
    shown = dfkd("show", "lost", *store.options[:2])
    assert shown.status == 0 and "No trial of lost is complete: 2 pruned." in shown.out
    assert "trial 0: diverged" in shown.out and "trial 1: diverged" in shown.out


def test_more_trials_may_follow(dfkd, store, lost):
    more = [*lost, "--name", "lost-more"]
    assert_refused(dfkd(*more), "(2 pruned)")
    assert_refused(dfkd(*more, "--n-trials", "3"), "(3 pruned)")
    assert len(store.trials("lost-more")) == 3


def test_python_raises_it(store):
    small = {"budget": {"steps": 20, "batch": 10, "pool": 200, "bank": 100}, "study": {"reruns": 0}, "workers": 1}
    places = {"storage": store.storage, "tracking_uri": store.tracking, "progress": False}
    with pytest.raises(StudyFailed, match=r"no trial completed \(1 pruned\).*diverged.* under another name$"):
        dt.tune(torch.nn.Linear(2, 1), name="lost-too", n_trials=1, search=DIVERGING, **small, **places)
    assert len(dt.load_result("lost-too", storage=store.storage, tracking_uri=store.tracking).trials) == 1


def ended(*states: tuple[str, str | None]) -> StudyResult:
    """A result whose trials ended so, in this order."""
    trials = {i: FinishedTrial(i, state, None, reason) for i, (state, reason) in enumerate(states)}
    found = [state for state, _ in states]
    progress = Progress(9, 0, found.count("PRUNED"), found.count("FAIL"), finished_trials=trials)
    return StudyResult("pump", None, None, None, None, "", "", progress)


CAUSES = {
    "time": ([], "the time was up before one of its 9 trials ended", "--timeout"),
    "deaths": ([("PRUNED", "slow"), ("FAIL", "its worker died 4 times")], "(1 pruned, 1 failed)", "--workers 1"),
    "pruner": ([("PRUNED", "stopped by the pruner at step 4")], "trial 0: stopped by the pruner", "--n-trials"),
}


@pytest.mark.parametrize(("states", "words", "remedy"), CAUSES.values(), ids=CAUSES)
def test_the_remedy_follows_the_cause(states, words, remedy):
    with pytest.raises(StudyFailed) as failure:
        require_complete(ended(*states))
    assert words in failure.value.rule and remedy in failure.value.remedy
