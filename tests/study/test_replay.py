"""Any run of a study can be distilled again, whatever became of it, to the same student."""

import json
from pathlib import Path

import optuna
import pytest
import torch
from asked import assert_refused, files_of
from safetensors.torch import load_file, save_file
from torch import nn

from dfkd_tune.errors import Interrupted
from dfkd_tune.study.replay import TOLERANCE
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def eventful(store, tiny):
    """The runs of a study that was stopped in mid-flight, then pruned eagerly, by what became of them."""
    stop = []

    def watch(progress) -> None:
        if progress.done and progress.running:
            stop.append(True)

    prepared = tiny("eventful", trials=6, reruns=1)
    with pytest.raises(Interrupted):
        run_study(prepared, store.storage, store.tracking, watch, lambda: bool(stop))
    with pytest.MonkeyPatch.context() as patched:
        eager = optuna.pruners.PercentilePruner(30.0, n_startup_trials=1, n_warmup_steps=10)
        patched.setattr("dfkd_tune.search.sampling.pruner", lambda choice: eager)
        run_study(prepared, store.storage, store.tracking)
    trials = store.runs("eventful", "trial")
    return {
        "complete": next(run for run in trials if run.info.status == "FINISHED"),
        "requeued": next(run for run in trials if "dfkd.requeued_from" in run.data.tags),
        "stopped": next(run for run in trials if run.data.tags["dfkd.state"] == "INTERRUPTED"),
        "pruned": next(run for run in trials if run.data.tags["dfkd.state"] == "PRUNED"),
        "re-run": store.runs("eventful", "rerun")[0],
        "baseline": store.runs("eventful", "baseline")[0],
    }


@pytest.mark.parametrize("kind", ["complete", "requeued", "stopped", "pruned", "re-run", "baseline"])
def test_distill_replays_any_run(dfkd, tmp_path, store, eventful, kind):
    run = eventful[kind]
    ended = dfkd("distill", "--run", run.info.run_id, "--out", "replayed", *store.options[2:])
    assert ended.status == 0, ended.err
    assert f"within the tolerance of {TOLERANCE:g}" in ended.out
    result = json.loads((tmp_path / "replayed" / "result.json").read_text())
    assert result["replay"]["run"] == run.info.run_id
    assert result["replay"]["differs"] <= result["replay"]["tolerance"] == TOLERANCE
    recorded = Path(run.info.artifact_uri.removeprefix("file://")) / "student"
    assert recorded.exists() == (run.info.status == "FINISHED")
    if recorded.exists():
        before, after = (load_file(folder / "student.safetensors") for folder in (recorded, tmp_path / "replayed"))
        assert before.keys() == after.keys()
        for key in before:
            assert torch.allclose(before[key], after[key], atol=1e-5)
        assert result["rmse"] == pytest.approx(run.data.metrics["rmse"], rel=1e-3)


def test_a_replay_needs_the_studys_own_teacher(dfkd, tmp_path, store, eventful):
    torch.manual_seed(7)
    network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    save_file(network.state_dict(), tmp_path / "other.safetensors")
    argv = ["distill", "--run", eventful["complete"].info.run_id, *store.options[2:], "--out", "x"]
    assert_refused(dfkd(*argv, "--teacher", "other.safetensors"), "other.safetensors is not what it was made with")
    assert_refused(dfkd(*argv, "--teacher", "nowhere.pt2"), "nowhere.pt2: no such file")
    assert dfkd(*argv, "--seed", "1").status == 2
    assert dfkd("distill", "--out", "x").status == 2
    assert files_of(tmp_path) == {"other.safetensors"}


def test_a_run_that_is_no_recipe_is_told(dfkd, tmp_path, store, eventful):
    from mlflow import MlflowClient

    client = MlflowClient(store.tracking)
    home = eventful["complete"].info.experiment_id
    made = client.create_run(home, tags=eventful["complete"].data.tags)
    for key, value in {"seed": "1", "generator.kind": "direct", "generator.steps": "(" * 500}.items():
        client.log_param(made.info.run_id, key, value)
    argv = ["distill", "--run", made.info.run_id, *store.options[2:], "--out", "x"]
    assert_refused(dfkd(*argv), f"run {made.info.run_id}.generator.steps")
    client.delete_run(made.info.run_id)
    assert files_of(tmp_path) == set()


def test_a_run_of_nobodys_study_cannot_be_replayed(dfkd, tmp_path, store, small_teacher):
    from dfkd_tune import Distillation, load_teacher

    teacher = load_teacher(small_teacher["path"], Path(small_teacher["architecture"]))
    objective = Distillation(
        teacher, steps=40, batch=20, search={}, tracking_uri=store.tracking, experiment="replay-plugin"
    )
    optuna.create_study().optimize(objective, n_trials=1)
    (run,) = store.runs("replay-plugin")
    argv = ["distill", "--run", run.info.run_id, "--out", "x", *store.options[2:]]
    assert_refused(dfkd(*argv), run.info.run_id, "no trial of a study")
    assert files_of(tmp_path) == set()
