"""A seed gives the same trials, values and champion, whether one process runs all groups or each group has its own."""

from dataclasses import replace

import pytest

from dfkd_tune.errors import Interrupted
from dfkd_tune.search.attributes import ROUND, StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.study.opening import open_queue
from dfkd_tune.study.session import run_study
from dfkd_tune.study.trials.claims import claims
from dfkd_tune.study.workers import run_workers

pytestmark = pytest.mark.usefixtures("undrawn")

ABOUT = {"seed": 3, "trials": 11, "population": 3, "reruns": 1, "refiner": {"kind": "lbfgs", "after": 0.5}}
"""Trials that end before the untuned baseline, which must not become a companion of another group."""


def facts(url: str, name: str) -> list[tuple]:
    trials = load_study(url, name).get_trials(deepcopy=False)
    return [(t.number, t.state, t.values, t.params, t.intermediate_values, t.user_attrs[ROUND]) for t in trials]


def test_the_same_seed_and_workers_give_the_same_study(tmp_path, store, tiny):
    made, champions, workers = [], [], []
    for place, processes in (("a", 2), ("b", 1), ("c", 2)):
        url = f"sqlite:///{tmp_path}/{place}.db"
        prepared = replace(tiny(f"seeded-{place}", **ABOUT), groups=2)
        where = (prepared, url, store.tracking)
        done = run_study(*where) if processes == 1 else run_workers(*where, processes)
        made.append(facts(url, f"seeded-{place}"))
        champions.append((done.promoted.run, done.promoted.objective, done.report, done.baseline))
        trials = load_study(url, f"seeded-{place}").get_trials(deepcopy=False)
        workers.append(len({trial.user_attrs["worker"] for trial in trials}))
    assert made[0] == made[1] == made[2]
    assert champions[0] == champions[1] == champions[2]
    assert workers[1] == 1 and {*workers} <= {1, 2}  # a process that is late finds nothing left to do
    assert [trial[-1] for trial in made[0]] == [0] * 6 + [6] * 5


def test_other_groups_are_another_study(tmp_path, store, tiny):
    made = []
    for groups in (1, 2):
        url = f"sqlite:///{tmp_path}/{groups}.db"
        run_study(replace(tiny(f"groups-{groups}", **ABOUT), groups=groups), url, store.tracking)
        made.append(facts(url, f"groups-{groups}"))
    assert [trial[-1] for trial in made[0]] == [0] * 3 + [3] * 3 + [6] * 3 + [9] * 2
    assert made[0] != made[1]


def test_a_seeded_study_that_was_stopped_goes_on_with_its_trials(tmp_path, store, tiny):
    """It asks for the same, as the sampler of a round depends on the seed and the round alone."""
    ended, seen = [], []
    for place in ("whole", "stopped"):
        url, prepared = f"sqlite:///{tmp_path}/{place}.db", tiny(f"seeded-{place}", **ABOUT)
        if place == "stopped":
            options = {"on_progress": lambda progress: seen.append(progress.ended)}
            with pytest.raises(Interrupted):
                run_study(prepared, url, store.tracking, **options, should_stop=lambda: bool(seen) and seen[-1] >= 4)
        run_study(prepared, url, store.tracking)
        ended.append([(number, params) for number, _, _, params, *_ in facts(url, f"seeded-{place}")])
    assert 4 <= max(seen) < ABOUT["trials"]
    assert ended[0] == ended[1]


def test_processes_share_the_trials_that_are_left(store, tiny):
    """None takes all of them while the others have nothing to do."""
    prepared = tiny("halved", trials=5, population=5)
    study, queue = open_queue(prepared, store.storage, store.tracking, workers=2)
    taken: list[list[int]] = []
    for _ in range(2):
        process, trials = claims(queue, prepared, StudyRecord.of(study)), []
        while found := process.take(5, len(trials), baseline=False).trials:
            trials += [each.trial.number for each in found]
        taken.append(trials)
    assert taken == [[0, 1, 2], [3, 4]]
    queue.storage.engine.dispose()


@pytest.mark.parametrize("about", [{}, {"seed": 0}], ids=["steady", "rounds"])
def test_the_baseline_takes_no_trials_place(store, tiny, about):
    seen = []
    prepared = replace(tiny(f"beside-{len(about)}", trials=2, population=2, **about), groups=1)
    run_study(
        prepared, store.storage, store.tracking, lambda progress: seen.append({t.key for t in progress.running_trials})
    )
    assert {"baseline", "trial-0000", "trial-0001"} in seen
