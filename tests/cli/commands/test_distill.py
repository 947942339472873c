"""One student without a study, or out of one: its files, its raw units, its use as a teacher."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from asked import files_of, network, save_pt2
from printed import measured, near
from safetensors.torch import load_file, save_file

from dfkd_tune.tracking.run_lookup import find_run

pytestmark = pytest.mark.usefixtures("undrawn")


def test_distill_writes_one_student(dfkd, tmp_path, small_teacher):
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"]]
    recipe = {"generator": {"kind": "direct", "steps": 1}, "student": {"width": 5}, "steps": 200, "batch": 20}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    one = dfkd("distill", *given, "--recipe", "recipe.yaml", "--out", "one")
    assert one.status == 0, one.err
    made = {"student.pt2", "student.safetensors", "architecture.yaml", "recipe.yaml", "result.json", "sha256.json"}
    assert files_of(tmp_path / "one") == made
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert measured(r"RMSE (\S+) of student\.pt2 as it was reloaded", one.out) == near(result["rmse"])
    assert result["parameters"] == 26
    x = torch.randn(5, 3)
    state = load_file(tmp_path / "one" / "student.safetensors")
    with torch.no_grad():
        answers = torch.tanh(x @ state["0.weight"].T + state["0.bias"]) @ state["2.weight"].T + state["2.bias"]
        assert torch.allclose(torch.export.load(tmp_path / "one" / "student.pt2").module()(x), answers, atol=1e-6)

    # The recipe that was written gives the student again; another seed gives another one.
    assert dfkd("distill", *given, "--recipe", "one/recipe.yaml", "--out", "two").status == 0
    again = load_file(tmp_path / "two" / "student.safetensors")
    assert all(torch.equal(again[key], state[key]) for key in state)
    assert dfkd("distill", *given, "--recipe", "recipe.yaml", "--seed", "1", "--out", "three").status == 0
    other = load_file(tmp_path / "three" / "student.safetensors")
    assert not torch.allclose(other["0.weight"], state["0.weight"])
    # Nothing is recorded.
    assert not (tmp_path / "mlruns").exists()


def test_distill_takes_a_preset(dfkd, tmp_path, small_teacher):
    given = ["--teacher", small_teacher["path"], "--architecture", small_teacher["architecture"]]
    ended = dfkd("distill", *given, "--preset", "random", "--out", "made")
    assert ended.status == 0, ended.err
    recipe = yaml.safe_load((tmp_path / "made" / "recipe.yaml").read_text())
    assert recipe["generator"]["kind"] == "gaussian"
    assert recipe["steps"] == 20_000
    # A student of three times the teacher's width and full training comes close.
    assert json.loads((tmp_path / "made" / "result.json").read_text())["nrmse"] < 0.1


def test_a_black_box_is_refused_recipes_that_need_gradients(dfkd, code, tmp_path):
    teacher = code("def teacher():\n    return lambda x: torch.from_numpy(x.detach().numpy().sum(1))\n")
    (tmp_path / "two.yaml").write_text("features: [a, b]\n")
    (tmp_path / "short.yaml").write_text("steps: 20\nbatch: 20\n")
    given = ["--teacher", teacher, "--features", "two.yaml"]
    for chosen, place in ((["--preset", "paper"], "--preset paper"), (["--recipe", "short.yaml"], "short.yaml")):
        ended = dfkd("distill", *given, *chosen, "--out", "made")
        assert ended.status == 1
        assert ended.err.startswith(f"dfkd-tune: {place}: generator.kind: direct needs the teacher's input gradients")


def test_raw_units(dfkd, tmp_path, store):
    """With means and deviations declared, teacher and student both take and give the user's own units."""
    torch.manual_seed(5)
    mean, std = torch.tensor([1000.0, -3.0, 0.02]), torch.tensor([200.0, 0.5, 0.01])
    raw = network(3, 16, 1)
    with torch.no_grad():  # the same network on standardized inputs, its answers around 5000
        raw[0].bias -= raw[0].weight @ (mean / std)
        raw[0].weight /= std
        raw[2].weight *= 300
        raw[2].bias.mul_(300).add_(5000)
    save_file(raw.state_dict(), tmp_path / "teacher.safetensors")
    (tmp_path / "teacher.yaml").write_text("layers: [3, 16, 1]\n")
    features = [{"name": n, "mean": float(m), "std": float(s)} for n, m, s in zip("abc", mean, std, strict=True)]
    (tmp_path / "features.yaml").write_text(yaml.safe_dump({"features": features}))
    tree = {
        "study": {"name": "raw", "trials": 1, "reruns": 0},
        "teacher": {"path": "teacher.safetensors", "architecture": "teacher.yaml"},
        "features": "features.yaml",
        "budget": {"steps": 1500, "batch": 50, "pool": 5000, "bank": 20_000},
        "preset": "random",
        "search": {},
    }
    (tmp_path / "raw.yaml").write_text(yaml.safe_dump(tree))
    ended = dfkd("study", "raw.yaml", *store.options)
    assert ended.status == 0, ended.err
    assert "tier T2" in ended.out
    assert dfkd("export", "raw", "--out", "student.pt2", *store.options[2:]).status == 0
    run = find_run(store.tracking, "raw")
    recorded = Path(run.info.artifact_uri.removeprefix("file://")) / "student" / "result.json"
    result = json.loads(recorded.read_text())
    assert result["features"] == ["a", "b", "c"]
    x = mean + std * torch.randn(50_000, 3, generator=torch.Generator().manual_seed(1))
    student = torch.export.load(tmp_path / "student.pt2").module()
    with torch.no_grad():
        answers, gap = raw(x), student(x) - raw(x)
    rmse = float(gap.square().mean().sqrt())
    assert result["rmse"] == pytest.approx(rmse, rel=0.1)
    assert result["nrmse"] == pytest.approx(rmse / float(answers.std()), rel=0.1)
    assert rmse < 0.2 * float(answers.std())


def test_several_outputs(dfkd, tmp_path, store):
    teacher = network(3, 8, 2)
    with torch.no_grad():
        teacher[2].weight[1] *= 100
    save_pt2(teacher, tmp_path / "teacher.pt2", torch.export.Dim("batch", min=1))
    tree = {
        "study": {"name": "two", "trials": 2, "reruns": 0, "objective": "nrmse"},
        "teacher": "teacher.pt2",
        "budget": {"steps": 300, "batch": 20, "pool": 500, "bank": 500},
        "preset": "paper",
        "search": {"optimizer.lr": [0.003, 0.01]},
    }
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(tree))
    assert "3 features, 2 outputs" in dfkd("check", "two.yaml").out
    ended = dfkd("study", "two.yaml", *store.options)
    assert ended.status == 0, ended.err
    for run, trial in zip(store.runs("two", "trial"), store.trials("two"), strict=True):
        metrics = run.data.metrics
        assert metrics["nrmse"] == pytest.approx(trial.value)
        by_output = np.array([metrics["output/rmse_0"], metrics["output/rmse_1"]])
        assert by_output[1] > 10 * by_output[0]
        assert metrics["rmse"] == pytest.approx(np.sqrt((by_output**2).mean()), rel=1e-4)
    assert dfkd("export", "two", "--out", "student.pt2", *store.options[2:]).status == 0
    assert torch.export.load(tmp_path / "student.pt2").module()(torch.zeros(7, 3)).shape == (7, 2)
