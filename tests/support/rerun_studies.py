"""Studies that run their best recipes again, and what must be true of the re-runs."""

from dfkd_tune.search.attributes import RERUNS
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.ranking import run_name

ABOUT = {"trials": 3, "leaders": 2, "reruns": 2}
UNTUNED = {"search": {"optimizer.lr": [1e-9]}, "trials": 2, "leaders": 2, "reruns": 1}
"""A study whose trials learn nothing, beside a baseline that does."""


def best_of(store, name: str, count: int) -> list[int | None]:
    """The numbers of the best trials, best first, and among them None for the baseline if it is better than one of so many."""
    scores = {t.number: t.value for t in store.trials(name) if t.state.name == "COMPLETE"}
    best = sorted(scores, key=scores.get)[:count]
    (untuned,) = store.runs(name, "baseline")
    scores |= {None: untuned.data.metrics["robust"]}
    with_untuned = sorted([*best, None], key=scores.get)
    return best if with_untuned.index(None) >= count else with_untuned


def names_of(store, name: str, status: str = "FINISHED") -> list[str]:
    """Names of the re-runs on record in MLflow."""
    return [run.info.run_name for run in store.runs(name, "rerun") if run.info.status == status]


def wanted(store, name: str, count: int = 2, times: int = 2) -> list[str]:
    return sorted(run_name(n, again) for n in best_of(store, name, count) for again in range(1, times + 1))


def assert_reruns_settled(store, name: str, count: int = 2, times: int = 2) -> None:
    """Every re-run of the leaders is recorded once, on both sides, and nothing is left running."""
    expected = wanted(store, name, count, times)
    assert set(names_of(store, name)) >= set(expected)
    assert len(names_of(store, name)) == len(set(names_of(store, name)))
    record = load_study(store.storage, name).user_attrs[RERUNS]
    assert sorted(run for runs in record.values() for run in runs) == names_of(store, name)
    assert not [run for run in store.runs(name) if run.info.status == "RUNNING"]
    (parent,) = store.runs(name, "study")
    assert parent.info.status == "FINISHED"
