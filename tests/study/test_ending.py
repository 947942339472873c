"""A trial ends alike wherever it runs: in a study, as a re-run, in an Optuna study of one's own, and on record again after ``sync``."""

import math
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from tiny_studies import SEARCH

from dfkd_tune import Distillation, load_teacher
from dfkd_tune.errors import NotFound
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.space.search_space import DEFAULT
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.ending import recorded_ending
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.tracking.run_lookup import find_run

RESULTS = {"rmse", "nrmse", "stress_rmse", "stress/nrmse", "robust"}
TIMES = {"seconds", "latency_us", "record", "worker"}
"""What differs between two runs of one recipe."""

pytestmark = pytest.mark.usefixtures("undrawn")


class Every(optuna.pruners.BasePruner):
    """Prunes every so-many-th trial at once."""

    def __init__(self, trials: int):
        self.trials = trials

    def prune(self, study, trial) -> bool:
        return (trial.number + 1) % self.trials == 0


def own(small_teacher, **given) -> Distillation:
    teacher = load_teacher(small_teacher["path"], Path(small_teacher["architecture"]))
    return Distillation(teacher, **{"steps": 40, "batch": 20, "search": {}} | given)


def figures(trial) -> dict:
    return {name: value for name, value in trial.user_attrs.items() if name not in TIMES}


def test_a_study_of_ones_own_records_what_a_study_does(store, tiny, small_teacher):
    """The same recipe and seed: the same objective, reports to the pruner, attributes, parameters, metrics and tags."""
    as_the_objective = {"pool": None, "bank": 8_000}
    prepared = tiny("alike", trials=1, reruns=0, search={}, preset=None, budget=as_the_objective)
    run_study(prepared, store.storage, store.tracking)
    (theirs,) = store.trials("alike")
    study = optuna.create_study()
    study.optimize(own(small_teacher, tracking_uri=store.tracking, experiment="alike-own"), n_trials=1)
    (mine,) = study.trials
    assert mine.values == theirs.values == [theirs.user_attrs["robust"]]
    assert mine.intermediate_values == theirs.intermediate_values
    assert figures(mine) == figures(theirs)
    assert mine.user_attrs.keys() == theirs.user_attrs.keys() - {"worker"}

    (their_run,), (my_run,) = store.runs("alike", "trial"), store.runs("alike-own", "trial")
    assert my_run.data.params == their_run.data.params
    certified = {name for name in their_run.data.metrics if name.startswith("certificate/")}  # of what a study promotes
    assert my_run.data.metrics.keys() == their_run.data.metrics.keys() - certified
    beyond = {"mlflow.parentRunId"}, {"dfkd.objective"}  # a study says it on the parent run
    assert my_run.data.tags.keys() ^ their_run.data.tags.keys() == set().union(*beyond)
    assert my_run.data.tags["dfkd.record"] == mine.user_attrs["record"]
    assert students(my_run) == students(their_run) >= {"student.safetensors", "rows.safetensors"}


def students(run) -> set[str]:
    """The files of a run's student and of its synthetic rows; a promoted student has a certificate and figures too."""
    return {file.name for folder in ("student", "synthetic") for file in (home(run) / folder).iterdir()}


def home(run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def test_a_pruned_trial_shows_no_result(store, small_teacher):
    objective = own(small_teacher, preset="paper", tracking_uri=store.tracking, experiment="shows-none")
    study = optuna.create_study(pruner=Every(1))
    study.optimize(objective, n_trials=1)
    (trial,), (run,) = study.trials, store.runs("shows-none")
    assert trial.state == TrialState.PRUNED
    assert not RESULTS & trial.user_attrs.keys() and not RESULTS & run.data.metrics.keys()
    assert trial.user_attrs["reason"] == run.data.tags["dfkd.reason"]
    assert {"parameters", "seconds", "teacher_rows", "recipe"} <= trial.user_attrs.keys()


def test_the_pruner_sees_a_smoothed_curve(store, small_teacher):
    study = optuna.create_study()
    study.optimize(own(small_teacher, preset="paper", tracking_uri=store.tracking, experiment="smooth"), n_trials=1)
    (run,), (trial,) = store.runs("smooth"), study.trials
    from mlflow import MlflowClient

    points = MlflowClient(store.tracking).get_metric_history(run.info.run_id, "curve/rmse")
    curve = [point.value for point in sorted(points, key=lambda point: point.step)]
    reported = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
    assert reported[:3] == pytest.approx([math.fsum(curve[:n]) / n for n in (1, 2, 3)])
    assert reported[3:] == pytest.approx([math.fsum(curve[n - 3 : n]) / 3 for n in range(4, len(reported) + 1)])


def test_what_a_storage_holds_is_what_mlflow_got(store, tiny, monkeypatch):
    """What ``sync`` makes a run of again, from the storage alone, has the state, the tags and the metrics of the first."""
    monkeypatch.setattr("dfkd_tune.search.sampling.pruner", lambda choice: Every(2))
    run_study(tiny("held", reruns=0), store.storage, store.tracking)
    runs = {run.data.params["trial"]: run for run in store.runs("held", "trial")}
    trials = load_study(store.storage, "held").get_trials(deepcopy=False)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        told, run = recorded_ending(trial), runs[str(trial.number)]
        logged = {
            name: value for name, value in run.data.metrics.items() if not name.startswith(("curve/", "certificate/"))
        }
        assert (told.status, told.metrics) == (run.info.status, pytest.approx(logged))
        assert told.tags.items() <= run.data.tags.items()
        assert told.values == tuple(trial.values if trial.state == TrialState.COMPLETE else ())
        assert bool(RESULTS & told.metrics.keys()) == (trial.state == TrialState.COMPLETE)


@pytest.mark.parametrize("objective", ["robust", "rmse"])
def test_the_best_of_an_own_study_is_found_by_its_objective(store, small_teacher, objective):
    name = f"found-by-{objective}"
    given = {"search": SEARCH, "preset": "paper", "objective": objective}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    study.optimize(own(small_teacher, **given, tracking_uri=store.tracking, experiment=name), n_trials=4)
    run = find_run(store.tracking, name)
    assert int(run.data.params["trial"]) == study.best_trial.number
    assert run.data.metrics[objective] == pytest.approx(study.best_value)
    with pytest.raises(NotFound):
        find_run(store.tracking, name, trial=99)


def test_an_objective_that_is_none_is_refused(small_teacher):
    from dfkd_tune.errors import SpecError

    with pytest.raises(SpecError, match="objective"):
        own(small_teacher, objective="stress_rmse")


def test_distill_takes_the_recipe_of_a_study(small_teacher, code, tmp_path):
    """Without --preset: what the unsearched leaves of a study of that teacher come from."""
    from dfkd_tune.cli.commands.distill import _problem

    black_box = code("def teacher():\n    return lambda x: torch.from_numpy(x.detach().numpy().sum(1))\n")
    (tmp_path / "two.yaml").write_text("features: [a, b]\n")
    for teacher, features in ((small_teacher, None), ({"path": black_box}, str(tmp_path / "two.yaml"))):
        tree = {"teacher": teacher} | ({"features": features} if features else {})
        wanted = prepare(parse_spec(tree, "study")).space
        given = (teacher["path"], teacher.get("architecture"), features, None, None, None, False, "cpu")
        assert wanted.domains.keys() <= {*DEFAULT, "generator.spread", "generator.shared"}
        assert _problem(*given)[1] == wanted.preset
