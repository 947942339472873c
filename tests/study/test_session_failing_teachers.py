"""A teacher that fails in the middle of a study: an error of the teacher, nothing lost, and a resume that ends the same."""

import sys

import pytest
from optuna.trial import TrialState

from dfkd_tune.errors import TeacherError
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")
TEXT = """
LIMIT, ASKED = [10**9], [0]
def teacher():
    def answer(x):
        ASKED[0] += 1
        if ASKED[0] > LIMIT[0]:
            raise SystemExit(0)
        return x.sin().sum(1)
    return answer
"""


@pytest.fixture
def study(code, tiny, store, request, tmp_path):
    """Runs a study whose teacher ends the process after so many calls; gives its result and its calls."""
    source = code(TEXT)
    (tmp_path / "features.yaml").write_text("features: [{name: a, mean: 0, std: 1}, {name: b, mean: 0, std: 1}]\n")
    name = f"failing-{request.node.name.replace('[', '-').replace(']', '')}"[:90]

    def run(limit: int = 10**9, name: str = name):
        prepared = tiny(
            name,
            teacher={"path": source},
            features=str(tmp_path / "features.yaml"),
            trials=3,
            leaders=1,
            preset="random",
            search={},
        )
        module = sys.modules[source.partition(":")[0]]
        module.ASKED[0], module.LIMIT[0] = 0, limit
        try:
            return run_study(prepared, store.storage, store.tracking), module.ASKED[0]
        finally:
            module.LIMIT[0] = 10**9

    run.name = name
    return run


def test_wherever_it_fails_a_resume_ends_the_same(study, store):
    whole, calls = study(name=f"{study.name}-whole")
    waiting = []
    for share in (0.2, 0.6):
        name = f"{study.name}-{share}"
        with pytest.raises(TeacherError, match="SystemExit: 0"):
            study(int(share * calls), name)
        trials = store.trials(name)
        assert all(trial.state in (TrialState.WAITING, TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
        waiting.append(sum(trial.state == TrialState.WAITING for trial in trials))
        runs = store.runs(name)
        assert not [run for run in runs if run.info.status == "RUNNING"]
        for run in runs:
            if run.data.tags.get("dfkd.kind") != "study" and run.info.status == "KILLED":
                assert run.data.tags["dfkd.state"] in ("INTERRUPTED", "PRUNED")
        again, _ = study(name=name)
        assert again.promoted.rmse == pytest.approx(whole.promoted.rmse, rel=1e-4)
        assert [trial.state for trial in store.trials(name)] == [
            trial.state for trial in store.trials(f"{study.name}-whole")
        ]
    assert waiting[0] > 0
