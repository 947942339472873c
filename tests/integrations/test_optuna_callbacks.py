"""The best student of a study of one's own is always the registered one."""

from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from tiny_studies import SEARCH

from dfkd_tune import Distillation, RegisterBest, load_teacher
from dfkd_tune.errors import SpecError

pytestmark = pytest.mark.usefixtures("undrawn")


def test_the_best_is_always_registered(small_teacher, store):
    teacher = load_teacher(small_teacher["path"], Path(small_teacher["architecture"]))
    given = {"preset": "paper", "search": SEARCH, "steps": 40, "batch": 20}
    objective = Distillation(teacher, tracking_uri=store.tracking, experiment="own-best", **given)
    study, seen = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)), []
    register_best = RegisterBest(objective, "own-best", alias="lead")

    def look(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        version = MlflowClient(store.tracking).get_model_version_by_alias("own-best", "lead")
        seen.append((int(version.tags["dfkd.trial"]), float(version.tags["dfkd.rmse"]), int(version.version)))

    study.optimize(objective, n_trials=5, callbacks=[register_best, look])
    best, expected = None, []
    for trial in study.trials:
        if best is None or trial.value < best.value:
            best = trial
        expected.append((best.number, best.user_attrs["rmse"]))
    assert len({number for number, _ in expected}) > 1
    assert [number for number, *_ in seen] == [number for number, _ in expected]
    assert [rmse for _, rmse, _ in seen] == pytest.approx([value for _, value in expected])
    assert seen[-1][2] == len({number for number, _ in expected})  # a version for every improvement, and no other
    with pytest.raises(SpecError, match="tracking_uri"):
        RegisterBest(Distillation(teacher, **given), "own-best")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"objective": "teacher.pt2"}, "objective: must be a Distillation"),
        ({"model": 3}, "model: must be a text"),
        ({"model": "a/b"}, "model: must be letters"),
        ({"alias": None}, "alias: must be a text"),
        ({"alias": "v1"}, "alias: must be a word"),
    ],
    ids=str,
)
def test_a_mistake_is_told_before_the_first_trial(small_teacher, store, given, words):
    teacher = load_teacher(small_teacher["path"], Path(small_teacher["architecture"]))
    objective = Distillation(teacher, tracking_uri=store.tracking, experiment="own-wrong", preset="paper", steps=40)
    with pytest.raises(SpecError, match=f"RegisterBest: {words}") as told:
        RegisterBest(**{"objective": objective, "model": "m", "alias": "lead"} | given)
    assert "--" not in str(told.value)
