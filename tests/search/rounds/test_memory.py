"""What a round knows: earlier rounds, and nothing of its own trials that depends on which of them ends first."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from dfkd_tune.compat import optuna as private
from dfkd_tune.search.rounds.memory import RoundMemory

SPACE = {"x": FloatDistribution(0.0, 1.0)}


def trial(x: float, ended: bool = True):
    state = {"value": x * x} if ended else {"state": TrialState.RUNNING}
    reports = {0: x, 1: x}
    return create_trial(params={"x": x}, distributions=SPACE, intermediate_values=reports, **state)


def recorded(*trials, pruner=None) -> optuna.Study:
    study = optuna.create_study(pruner=pruner)
    study.add_trials(trials)
    return study


def suggest(trial: optuna.Trial) -> None:
    trial.suggest_float("x", 0, 1)


EARLIER = [trial(x / 12) for x in range(12)]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("ended", [(False, False), (True, False), (False, True), (True, True)])
def test_what_is_asked_does_not_depend_on_who_is_faster(ended):
    def asked(*own):
        study = recorded(*EARLIER, *own)
        sampler = optuna.samplers.TPESampler(seed=0, constant_liar=True)
        return RoundMemory(study, study.trials, len(EARLIER), sampler).ask(suggest).params

    assert asked(trial(0.9, ended[0]), trial(0.1, ended[1])) == asked(trial(0.9, False), trial(0.1, False))


@pytest.mark.parametrize("ended", [False, True])
def test_a_trial_is_compared_with_earlier_rounds_alone(ended):
    study = recorded(*EARLIER[:4], *(trial(x, ended) for x in (2.0 / 3, 0.8)), pruner=optuna.pruners.MedianPruner(2, 0))
    study.add_trial(create_trial(state=TrialState.RUNNING, params={"x": 0.5}, distributions=SPACE))
    memory = RoundMemory(study, study.trials, 4)
    assert memory.notes_of(6) == {}
    memory.report(6, 0, 0.3)  # above the median of rounds before; below that with its own round
    assert memory.should_prune(6)
    assert study.trials[6].intermediate_values == {}  # a copy


def test_what_is_fixed_is_not_chosen_and_each_trial_is_another():
    study = recorded(*EARLIER)
    memory = RoundMemory(study, study.trials, sampler=optuna.samplers.RandomSampler(seed=0))
    asked = [memory.ask(suggest, {"x": 0.125}), memory.ask(suggest), memory.ask(suggest)]
    assert asked[0].params == {"x": 0.125} and len({each.params["x"] for each in asked}) == 3
    assert [each.number for each in asked] == [12, 13, 14] and len(study.trials) == 12


class Noting(optuna.samplers.RandomSampler):
    """Remembers in the study how often it was asked."""

    def before_trial(self, study, trial):
        count = private.study_attributes(study).get("asked", 0)
        private.set_study_attributes(study, {"asked": count + 1})


def test_what_a_sampler_has_written_is_told():
    study = recorded(*EARLIER)
    private.set_study_attributes(study, {"asked": 4, "seed": 1})
    memory = RoundMemory(study, study.trials, sampler=Noting())
    assert memory.notes == {}
    memory.ask(suggest)
    assert memory.notes == {"asked": 5} and private.study_attributes(study)["asked"] == 4
