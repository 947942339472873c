"""A study is not taken for another one: a resume with other files or settings is refused, and each database has one owner."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from whole_studies import facts, run

from dfkd_tune.errors import StorageError, StudyMismatch, TrackingError
from dfkd_tune.search.storage import open_storage
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def original(store, tiny):
    run(tiny("original", trials=2), store)
    return store


@pytest.fixture(scope="module")
def other_files(tmp_path_factory, small_teacher) -> dict:
    folder = tmp_path_factory.mktemp("other")
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    save_file(network.state_dict(), folder / "other.safetensors")
    (folder / "features.yaml").write_text("features: [a, b, {name: c, range: [0.0, 1.0]}]\n")
    return {
        "teacher": small_teacher | {"path": str(folder / "other.safetensors")},
        "features": str(folder / "features.yaml"),
    }


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("teacher", "teacher.path: "),
        ("features", "features: "),
        ({"search": {"optimizer.lr": [0.001, 0.01]}}, "search.optimizer.lr: "),
        ({"preset": "random"}, 'preset: "paper" -> "random"'),
        ({"student": {"max_parameters": 50}}, "student.max_parameters: absent -> 50"),
        ({"objective": "nrmse"}, 'exists with another study.objective: "robust" -> "nrmse"; '),
        ({"seed": 1}, "exists with another study.seed: 0 -> 1; "),
        ({"budget": {"bank": 300}}, "bank: 200 -> 300"),
        ({"budget": {"steps": 41}}, "exists with another budget.steps: 40 -> 41; "),
        ({"budget": {"pool": 600}}, "budget.pool 500"),
    ],
    ids=str,
)
def test_a_resume_of_another_study_is_refused(original, other_files, tiny, changed, named):
    if isinstance(changed, str):
        changed = {changed: other_files[changed]}
    if "preset" in changed:  # the default space searches the kind
        changed = changed | {"search": {}}
    before = facts(original.trials("original"))
    with pytest.raises(StudyMismatch) as refusal:
        run(tiny("original", **{"trials": 4} | changed), original)
    assert named in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert facts(original.trials("original")) == before


def test_each_database_has_one_owner(tmp_path, store, tiny):
    with pytest.raises(StorageError, match="at once"):
        run_study(tiny("both"), f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/one.db")
    assert list(tmp_path.iterdir()) == []
    store.hand_out(tmp_path)
    open_storage(f"sqlite:///{tmp_path}/optuna.db")
    with pytest.raises(StorageError, match=r"mlflow\.db: is a database of another program"):
        run_study(tiny("both"), f"sqlite:///{tmp_path}/mlruns/mlflow.db", store.tracking)
    with pytest.raises(TrackingError, match=r"optuna\.db: is a database of another program"):
        run_study(tiny("both"), f"sqlite:///{tmp_path}/other.db", f"sqlite:///{tmp_path}/optuna.db")
