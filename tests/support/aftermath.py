"""What must hold of a study, whatever happened to it."""

from pathlib import Path

from optuna.trial import TrialState
from tiny_studies import runs_of

from dfkd_tune.search.loaded import load_study


def assert_whole(storage: str, tracking: str, name: str, total: int, artifacts: Path | None = None) -> dict[str, int]:
    """Exactly ``total`` trials ended, every complete one with one student, and every run's state is true.

    Args:
        artifacts: the folder from which a server hands out artifacts; None where runs name their own.

    Returns:
        counts, for whoever reports them.
    """
    trials = load_study(storage, name).get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(total))
    assert all(trial.state.is_finished() for trial in trials), [(t.number, t.state, t.user_attrs) for t in trials]
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert all(trial.user_attrs["reason"] == "its worker died 4 times" for trial in failed)

    runs = runs_of(tracking, name)
    assert not [run.info.run_name for run in runs if run.info.status == "RUNNING"]
    by_trial: dict[int, list] = {number: [] for number in range(total)}
    for run in runs:
        if run.data.tags["dfkd.kind"] == "trial":
            by_trial[int(run.data.params["trial"])].append(run)
    for trial in trials:
        # A run whose worker died before it had told its parameters belongs to no trial; all others do.
        ended = [run for run in by_trial[trial.number] if run.data.tags.get("dfkd.state") == trial.state.name]
        assert len(ended) == 1, (trial.number, trial.state, [run.data.tags for run in by_trial[trial.number]])
        complete = trial.state == TrialState.COMPLETE
        assert (ended[0].info.status == "FINISHED") == complete
        if complete:
            uri = ended[0].info.artifact_uri
            folder = Path(uri.removeprefix("file://").replace("mlflow-artifacts:", str(artifacts)))
            assert (folder / "student" / "student.safetensors").stat().st_size > 0
            assert abs(ended[0].data.metrics["robust"] - trial.value) <= 1e-6 * abs(trial.value)
    # Who took a trial up again says whose run it followed, up to the first one.
    ids = {run.info.run_id for run in runs}
    linked = [run for run in runs if "dfkd.requeued_from" in run.data.tags]
    assert all(run.data.tags["dfkd.requeued_from"] in ids for run in linked)
    (parent,) = (run for run in runs if run.data.tags["dfkd.kind"] == "study")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["study/trials"] == total
    finished = [r for r in runs if r.data.tags["dfkd.kind"] == "baseline" and r.info.status == "FINISHED"]
    assert len(finished) == 1
    return {
        "trials": total,
        "complete": sum(trial.state == TrialState.COMPLETE for trial in trials),
        "requeued": sum(trial.user_attrs.get("attempts", 0) > 0 for trial in trials),
        "failed": len(failed),
        "linked": len(linked),
    }
