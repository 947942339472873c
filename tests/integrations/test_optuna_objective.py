"""Library use: the distillation as an objective in a study and an MLflow store of the user's own."""

import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from tiny_studies import ROOT, SEARCH, runs_of


class Always(optuna.pruners.BasePruner):
    """Prunes at the first report."""

    def prune(self, study, trial) -> bool:
        return True


class Broken(optuna.pruners.BasePruner):
    """A user's own mistake."""

    def prune(self, study, trial) -> bool:
        raise ZeroDivisionError


@pytest.fixture
def distillation(small_teacher):
    """Makes tiny objectives."""
    from dfkd_tune import Distillation, load_teacher

    teacher = load_teacher(small_teacher["path"], Path(small_teacher["architecture"]))
    tiny = {"preset": "paper", "search": SEARCH, "steps": 40, "batch": 20}
    return lambda **given: Distillation(teacher, **tiny | given)


EXAMPLE = """
import optuna
from dfkd_tune import Distillation

objective = Distillation(
    "studies/quickstart_teacher.pt2",
    max_parameters=1151,
    steps=40,
    tracking_uri="sqlite:///mlruns/mlflow.db",
    experiment="my-search",
)
study = optuna.create_study(pruner=optuna.pruners.PercentilePruner(75))
study.optimize(objective, n_trials=2)
"""


def test_a_study_of_ones_own_in_ten_lines(tmp_path, monkeypatch, store, finished):
    store.hand_out(tmp_path)
    (tmp_path / "studies").symlink_to(ROOT / "studies")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(EXAMPLE, names)
    study = names["study"]
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    recorded = runs_of(f"sqlite:///{tmp_path}/mlruns/mlflow.db", "my-search")
    assert [run.info.run_name for run in recorded] == ["trial-0000", "trial-0001"]
    for run, trial in zip(recorded, study.trials, strict=True):
        assert run.info.status == "FINISHED"
        assert run.data.metrics["robust"] == pytest.approx(trial.value)
        assert run.data.metrics["parameters"] <= 1151
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        assert folder.is_relative_to(tmp_path / "mlruns" / "artifacts")
        assert (folder / "student" / "student.safetensors").exists()


def test_trials_are_runs(distillation, store):
    objective = distillation(tracking_uri=store.tracking, experiment="plugin")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=2)
    recorded = store.runs("plugin", "trial")
    assert {run.data.params["trial"] for run in recorded} == {"0", "1"}
    for run in recorded:
        trial = study.trials[int(run.data.params["trial"])]
        assert run.info.status == "FINISHED"
        assert run.data.tags["dfkd.state"] == "COMPLETE"
        assert run.data.metrics["robust"] == pytest.approx(trial.value)
        assert run.data.params["optimizer.lr"] == str(trial.params["optimizer.lr"])
        assert run.data.params["generator.kind"] == trial.params["generator.kind"]


def test_the_pruner_of_the_user_decides(distillation, store):
    objective = distillation(tracking_uri=store.tracking, experiment="pruning")
    study = optuna.create_study(pruner=Always())
    study.optimize(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * 2
    assert [len(trial.intermediate_values) for trial in study.trials] == [1, 1]
    for run in store.runs("pruning"):
        assert run.info.status == "KILLED"
        assert run.data.tags["dfkd.state"] == "PRUNED"
        assert run.data.tags["dfkd.reason"] == "pruned at step 2"


def test_a_crash_leaves_no_run_open(distillation, store):
    objective = distillation(tracking_uri=store.tracking, experiment="crashing")
    study = optuna.create_study(pruner=Broken())
    with pytest.raises(ZeroDivisionError):
        study.optimize(objective, n_trials=1)
    (run,) = store.runs("crashing")
    assert run.info.status == "FAILED"
    assert run.data.tags["dfkd.state"] == "FAIL"


def test_without_mlflow_nothing_is_recorded(distillation, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study()
    study.optimize(distillation(search={"optimizer.lr": [0.01]}), n_trials=1)
    assert study.best_params == {"optimizer.lr": 0.01}
    assert list(tmp_path.iterdir()) == []


def test_the_seed_decides(distillation):
    values = []
    for seed in (0, 0, 1):
        objective = distillation(search={}, seed=seed)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(objective, n_trials=1)
        values.append(study.best_value)
    assert values[0] == values[1] != values[2]


def test_a_teacher_that_fails_leaves_no_run_open(store, code, tmp_path):
    from dfkd_tune import Distillation
    from dfkd_tune.errors import TeacherError

    source = code(
        "ASKED = [0, 10**9]\n"
        "def teacher():\n"
        "    def answer(x):\n"
        "        ASKED[0] += 1\n"
        "        if ASKED[0] > ASKED[1]: raise SystemExit(0)\n"
        "        return x.sin().sum(1)\n"
        "    return answer\n"
    )
    features = tmp_path / "features.yaml"
    features.write_text("features: [{name: a, mean: 0, std: 1}]\n")
    given = {"features": features, "preset": "paper", "search": {}, "steps": 40, "batch": 20}
    objective = Distillation(source, **given, tracking_uri=store.tracking, experiment="failing")
    asked = sys.modules[source.partition(":")[0]].ASKED
    optuna.create_study().optimize(objective, n_trials=1)
    asked[1] = asked[0]
    study = optuna.create_study()
    with pytest.raises(TeacherError, match="SystemExit: 0"):
        study.optimize(objective, n_trials=1)
    assert study.trials[0].state == TrialState.FAIL
    runs = store.runs("failing")
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED"]
    assert all("SystemExit" in run.data.tags["dfkd.reason"] for run in runs if run.info.status == "FAILED")


def test_a_pickle_is_loaded_where_its_author_is_trusted(tmp_path):
    import joblib
    import numpy as np
    from sklearn.linear_model import LinearRegression

    from dfkd_tune import Distillation
    from dfkd_tune.errors import TeacherError

    x = np.random.default_rng(0).normal(size=(50, 2))
    joblib.dump(LinearRegression().fit(x, x.sum(1)), tmp_path / "net.joblib")
    with pytest.raises(TeacherError, match="trust_pickle=True") as caught:
        Distillation(tmp_path / "net.joblib")
    assert "--" not in str(caught.value)
    objective = Distillation(tmp_path / "net.joblib", trust_pickle=True, steps=40, batch=20, search={})
    assert objective.problem.features == 2


def test_weights_alone_are_loaded_with_their_architecture(small_teacher):
    from dfkd_tune import Distillation
    from dfkd_tune.errors import TeacherError

    with pytest.raises(TeacherError, match="give architecture=FILE"):
        Distillation(small_teacher["path"])
    objective = Distillation(small_teacher["path"], architecture=small_teacher["architecture"], steps=40, batch=20)
    assert objective.problem.features == 3
