"""Rounds: asked together, from earlier rounds alone, once; claimed group by group."""

import optuna
import pytest
from optuna.trial import TrialState

from dfkd_tune.search.optuna_kinds import PRUNERS, SAMPLERS, Choice, sampler
from dfkd_tune.search.rounds.queue import RoundQueue
from dfkd_tune.search.sampling import without_experimental_warnings
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.trial_queue import TrialQueue

GROUPS, SIZE = 2, 6


def few(trial) -> float:
    """A space that can be searched by brute force."""
    return trial.suggest_int("n", 1, 40) + float(trial.suggest_categorical("kind", ["a", "b"]) == "b")


def suggest(trial) -> float:
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return lr + (trial.suggest_float("of b", 0.0, 1.0) if kind == "b" else 0.5)


def rounds(url: str, choice: str = "auto", pruner=None, points=(), space=suggest) -> RoundQueue:
    """One worker of a study called ``rounds``."""
    storage = open_storage(url)
    study = optuna.create_study(study_name="rounds", storage=storage, load_if_exists=True, pruner=pruner)
    queue = TrialQueue(study, storage, points)
    return RoundQueue(queue, GROUPS, SIZE, lambda first: sampler(Choice(choice), 1000 + first), space)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/optuna.db"


def tell(mine: RoundQueue, claims, state=TrialState.COMPLETE) -> None:
    for claim in claims:
        assert mine.queue.complete(
            claim.trial, state, [mine.suggest(claim.trial)] if state.name == "COMPLETE" else [], {}
        )


def trials(mine: RoundQueue) -> list:
    return mine.queue.study.get_trials(deepcopy=False)


def run(workers: list[RoundQueue], total: int, backwards: bool = False) -> list[dict]:
    """A whole study: groups are claimed by the workers in turn, and their trials told in either order."""
    while True:
        groups = [(mine, group) for mine in workers if (group := mine.claim(total)) is not None]
        if not groups:
            return [trial.params for trial in trials(workers[0])]
        for mine, group in reversed(groups) if backwards else groups:
            tell(mine, group.claims[::-1] if backwards else group.claims)


@pytest.mark.parametrize("choice", SAMPLERS)
def test_trials_do_not_depend_on_who_is_faster(tmp_path, choice):
    """With every sampler, for one worker and for three, whatever order they end in."""
    space, made = few if choice == "brute_force" else suggest, []
    for workers in (1, 3):
        url = f"sqlite:///{tmp_path}/{workers}.db"
        with without_experimental_warnings():
            made.append(run([rounds(url, choice, space=space) for _ in range(workers)], 20, backwards=workers == 3))
    assert made[0] == made[1]
    assert len(made[0]) == 20 and all(made[0])
    assert len({tuple(params.items()) for params in made[0]}) > 15  # no round repeats another


def test_a_round_is_asked_when_all_earlier_trials_have_ended(url):
    mine, other = rounds(url), rounds(url)
    first, second = mine.claim(20), other.claim(20)
    assert [[claim.trial.number for claim in group.claims] for group in (first, second)] == [[0, 2, 4], [1, 3, 5]]
    assert [group.first for group in (first, second)] == [True, False]
    assert mine.claim(20) is None
    tell(mine, first.claims)
    tell(other, second.claims[:2], TrialState.PRUNED)
    assert mine.claim(20) is None
    assert [trial.number for trial in trials(mine) if trial.params] == list(range(SIZE))
    tell(other, second.claims[2:], TrialState.FAIL)
    assert [claim.trial.number for claim in other.claim(20).claims] == [6, 8, 10]
    assert [trial.number for trial in trials(mine) if trial.params] == list(range(2 * SIZE))


def test_the_last_round_is_as_long_as_what_is_left(url):
    mine = rounds(url)
    for expected in ([0, 2, 4], [1, 3, 5], [6]):
        group = mine.claim(7)
        assert [claim.trial.number for claim in group.claims] == expected
        tell(mine, group.claims)
    assert mine.claim(7) is None
    assert [claim.trial.number for claim in mine.claim(9).claims] == [8]


def test_a_round_that_a_shorter_study_began_goes_on_with_other_draws(url):
    run([rounds(url)], SIZE + 2)
    asked = run([rounds(url)], 20)
    assert len({tuple(params.items()) for params in asked}) == len(asked) == 20


def test_who_takes_up_a_round_asks_nothing_anew(url):
    """Trials that are given back keep their parameters, and are taken up with their group."""
    mine = rounds(url)
    group = mine.claim(20)
    asked = [trial.params for trial in trials(mine)]
    tell(mine, group.claims[:1])
    mine.queue.give_back()
    again = rounds(url).claim(20)
    assert [(claim.trial.number, claim.again) for claim in again.claims] == [(2, True), (4, True)]
    assert [trial.params for trial in trials(mine)] == asked


def test_initial_points_are_asked_first(url):
    mine = rounds(url, points=[{"lr": 0.05}, {"kind": "b", "of b": 0.25}])
    mine.claim(20)
    first, second = (trial.params for trial in trials(mine)[:2])
    assert first["lr"] == 0.05 and (second["kind"], second["of b"]) == ("b", 0.25)


@pytest.mark.parametrize("kind", [kind for kind in PRUNERS if kind != "threshold"])
def test_a_pruner_compares_with_earlier_rounds_alone(tmp_path, kind):
    """Whatever the other group has reported and told meanwhile."""
    verdicts = []
    for early in (True, False):
        pruner = PRUNERS[kind](25.0) if kind == "percentile" else PRUNERS[kind]()
        mine = rounds(f"sqlite:///{tmp_path}/{early}.db", pruner=pruner)
        with without_experimental_warnings():
            for _ in range(4):  # two rounds of trials that report small values
                group = mine.claim(20)
                report(mine, group, lambda number: 0.01 * number)
                tell(mine, group.claims)
            group, other = mine.claim(20), mine.claim(20)
            if early:
                report(mine, other, lambda number: 1000.0)
                tell(mine, other.claims)
            verdicts.append(report(mine, group, lambda number: 10.0 * number))
    assert verdicts[0] == verdicts[1]
    assert any(map(any, verdicts[0])) == (kind not in ("none", "auto"))  # ``auto`` warms up for longer


def report(mine: RoundQueue, group, value) -> list[list[bool]]:
    """Report three values of each trial; returns the pruner's verdicts."""
    verdicts = []
    for step in (1, 2, 3):
        mine.queue.report({claim.trial: (step, value(claim.trial.number)) for claim in group.claims})
        for claim in group.claims:
            group.memory.report(claim.trial.number, step, value(claim.trial.number))
        verdicts.append([group.memory.should_prune(claim.trial.number) for claim in group.claims])
    return verdicts
