"""Whole studies that tests run: how they are run and stopped, and what must be true of them afterwards."""

from collections.abc import Callable

from optuna.trial import TrialState
from tiny_studies import Store

from dfkd_tune.search.progress import Progress
from dfkd_tune.study.session import run_study

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def facts(trials: list) -> list[tuple]:
    """What must be the same of trials that are the same."""
    return [(trial.number, trial.state, trial.value, trial.params) for trial in trials]


def run(prepared, store: Store, **options):
    return run_study(prepared, store.storage, store.tracking, **options)


def stop_when(condition: Callable[[Progress], bool]) -> dict:
    """Options of ``run_study`` that ask it to stop once its progress meets a condition."""
    stopping = []

    def watch(progress: Progress) -> None:
        if condition(progress):
            stopping.append(True)

    return {"on_progress": watch, "should_stop": lambda: bool(stopping)}


def assert_settled(store: Store, name: str, total: int) -> None:
    """Exactly ``total`` finished trials with unique numbers, and true states in MLflow."""
    trials = store.trials(name)
    assert [trial.number for trial in trials] == list(range(total))
    assert {trial.state for trial in trials} <= set(FINISHED)
    runs = store.runs(name)
    assert not [run.info.run_name for run in runs if run.info.status == "RUNNING"]
    complete = {trial.number for trial in trials if trial.state == TrialState.COMPLETE}
    recorded = [run for run in runs if run.data.tags["dfkd.kind"] == "trial" and run.info.status == "FINISHED"]
    assert {int(run.data.params["trial"]) for run in recorded} == complete
    (parent,) = (run for run in runs if run.data.tags["dfkd.kind"] == "study")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["study/trials"] == total
