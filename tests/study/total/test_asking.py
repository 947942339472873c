"""A study within a total asks not one row more, whatever it resumes, and tells where its rows went."""

import json
from pathlib import Path

import costly
import mlflow
import numpy as np
import optuna
import pytest
import torch
from asked import fails
from costly import asked, costly_tree, run

from dfkd_tune.errors import NotFound, TeacherError
from dfkd_tune.registry.sources import Sources
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.queries.ledger import Ledger
from dfkd_tune.search.storage import open_storage
from dfkd_tune.study.replay import load_replay
from dfkd_tune.study.session import StudyRunner
from dfkd_tune.study.total.asking import Asking
from dfkd_tune.study.total.division import AGAIN_ROWS, Division
from dfkd_tune.study.total.opening import rows_folder
from dfkd_tune.study.upkeep import plan_removal, remove
from dfkd_tune.teachers.metering.answered_rows import AnsweredRows

pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_study_keeps_its_total_and_goes_on_with_a_larger_one(store, log, tmp_path):
    tree = costly_tree("costly-grown", tmp_path, 400)
    first = run(store, tree)
    record = StudyRecord.of(load_study(store.storage, "costly-grown"))
    spent = asked(log)
    assert 350 < spent <= sum(record.queries.values()) <= 400
    assert record.queries.keys() >= {"opening", "report", "prior", "stress", "round-1", "certificate"}
    assert first.report is not None and first.promoted is not None

    run(store, tree)  # all that it needs is answered
    assert asked(log) == spent

    grown = costly_tree("costly-grown", tmp_path, 600, trials=6)
    run(store, grown)
    after = StudyRecord.of(load_study(store.storage, "costly-grown"))
    assert spent < asked(log) <= sum(after.queries.values()) <= 600
    assert {name: after.queries[name] for name in ("opening", "report", "prior", "stress")} == {
        name: record.queries[name] for name in ("opening", "report", "prior", "stress")
    }
    assert after.queries["again"] % AGAIN_ROWS == 0  # and no row to know again what the function takes
    (parent,) = store.runs("costly-grown", "study")
    assert parent.data.metrics["study/queries/prior"] == after.queries["prior"]
    assert parent.data.tags["dfkd.total_queries"] == "600"


def test_a_trial_tells_the_uncertainty_of_its_objective(store, log, tmp_path, dfkd):
    run(store, costly_tree("costly-told", tmp_path, 400, trials=2, reruns=0))
    trials = [trial for trial in store.trials("costly-told") if trial.values]
    assert all(0 < trial.user_attrs["robust_error"] < trial.values[0] for trial in trials)
    shown = dfkd("show", "costly-told", "--storage", store.storage).out
    assert "400 teacher rows in all" in shown and "prior 160" in shown
    assert "±" in shown
    attributes = json.loads(dfkd("show", "costly-told", "--storage", store.storage, "--json").out)["attributes"]
    assert sum(attributes["queries"].values()) <= 400


def test_a_seed_gives_the_same_study(store, log, tmp_path):
    runs = [run(store, costly_tree(f"costly-seed-{i}", tmp_path, 400, seed=3, reruns=0)) for i in range(2)]
    assert runs[0].best == runs[1].best


def test_check_says_how_the_total_is_divided(log, tmp_path, dfkd):
    import yaml

    (tmp_path / "costly.yaml").write_text(yaml.safe_dump(costly_tree("costly-checked", tmp_path, 5_000)))
    ended = dfkd("check", "costly.yaml")
    assert ended.status == 0
    said = " ".join(ended.out.split())
    assert "5,000 teacher rows in all, later sessions included: opening 114, report 300, prior 2,000" in said
    assert "this check asked 114 more" in said and asked(log) <= 114
    assert "banks of" not in said
    total = " ".join(dfkd("check", "costly.yaml", "--max-queries", 600).out.split())
    assert "600 teacher rows in all, later sessions included: opening 46, report 40" in total


def test_rows_without_a_number_are_asked_again_once_the_teacher_is_well(store, log, tmp_path, monkeypatch):
    tree = costly_tree("costly-ill", tmp_path, 400, trials=2)
    ill = []

    def undefined(x):
        if not ill and asked(log) > 130:
            ill.append(x[3])
        return np.array([any((row == bad).all() for bad in ill) for row in x])

    monkeypatch.setattr(costly, "UNDEFINED", undefined)
    for rows in ("20", "1"):  # the second time, that row alone
        told = f"must give finite outputs, but gave NaN or infinity for 1 of {rows} rows (prior)"
        with fails("costly:answer", told, "run the same command again", kind=TeacherError):
            run(store, tree)
    monkeypatch.setattr(costly, "UNDEFINED", costly.NOWHERE)
    assert run(store, tree).promoted is not None
    record = StudyRecord.of(load_study(store.storage, "costly-ill"))
    rows = AnsweredRows(rows_folder(store.storage, record))
    rows.refresh()
    assert rows.count("prior") == Division.read(record.division).prior and not len(rows.not_finite("prior"))
    assert rows.asked("prior") == rows.count("prior") + 2 and asked(log) <= 400


def test_rows_that_got_no_answer_are_told(store, log, tmp_path, dfkd):
    run(store, costly_tree("costly-dead", tmp_path, 400, trials=1, reruns=0))
    assert "no answer on record" not in dfkd("show", "costly-dead", "--storage", store.storage).out
    storage = open_storage(store.storage)
    Ledger(storage, optuna.load_study(study_name="costly-dead", storage=storage), 500).claim(
        "prior", 7
    )  # and is killed
    run(store, costly_tree("costly-dead", tmp_path, 500, trials=2, reruns=0))
    shown = " ".join(dfkd("show", "costly-dead", "--storage", store.storage).out.split())
    assert "Of the rows asked, 7 have no answer on record" in shown


def test_rows_beyond_what_is_declared_may_have_no_number(store, log, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(costly, "UNDEFINED", lambda x: np.abs(x).max(1) > 4.5)
    assert run(store, costly_tree("costly-edge", tmp_path, 400, trials=2)).promoted is not None
    assert "rows (stress)" in caplog.text and "which are left out" in caplog.text
    assert asked(log) <= 400


def test_a_round_with_a_row_without_a_number_is_asked_once(store, log, tmp_path, monkeypatch, caplog):
    ill = []

    def undefined(x):
        study = optuna.load_study(study_name="costly-gap", storage=store.storage)
        if "round-1" in StudyRecord.of(study).queries and not ill:
            ill.append(x[0])
        return np.array([any((row == bad).all() for bad in ill) for row in x])

    def of_two_processes(self, number, committee, once=Asking.round):
        once(self, number, committee)
        spent = asked(log)
        once(self, number, committee)
        later.append(asked(log) - spent)

    later = []
    monkeypatch.setattr(costly, "UNDEFINED", undefined)
    monkeypatch.setattr(Asking, "round", of_two_processes)
    run(store, costly_tree("costly-gap", tmp_path, 1_000, trials=2))
    assert "1 of" in caplog.text and "rows (round-1)" in caplog.text
    assert later == [0, 0, 0]


def test_a_removed_study_leaves_no_rows(store, log, tmp_path):
    run(store, costly_tree("costly-gone", tmp_path, 400, trials=1, reruns=0))
    plan = plan_removal("costly-gone", store.storage, store.tracking)
    assert plan.rows.is_dir() and any(str(plan.rows) in line for line in plan.lines())
    remove(plan)
    assert not plan.rows.exists()


def certificate_of(store, study: str, run: str) -> dict:
    """The content of ``certificate.json`` of a run."""
    (student,) = (each for each in store.runs(study) if each.info.run_name == run)
    file = mlflow.artifacts.download_artifacts(
        run_id=student.info.run_id, artifact_path="certificate/certificate.json", tracking_uri=store.tracking
    )
    return json.loads(Path(file).read_text())


def few_tree(name, folder, features: str, **study) -> dict:
    tree = costly_tree(name, folder, 400, **study)
    (folder / "features.yaml").write_text(features)
    return tree


def test_a_study_with_few_different_rows_asks_each_once_and_ends(store, log, tmp_path, caplog):
    levels = ", ".join(f"{{name: {name}, levels: [0, 1, 2], nominal: true}}" for name in "abc")
    tree = few_tree("costly-few", tmp_path, f"features: [{levels}]\n")
    ended = run(store, tree)
    assert "only 27 different rows, and 400 may be asked" in caplog.text
    assert ended.promoted is not None and ended.progress.ended == 4
    record = StudyRecord.of(load_study(store.storage, "costly-few"))
    assert record.answered == record.untuned["answered_rows"] == 27
    certificate = certificate_of(store, "costly-few", ended.promoted.run)
    assert certificate["report"]["population"] == 27
    assert "draws of the 27 different inputs that there are, on each of which" in certificate["statement"]["holds"][0]
    rows = AnsweredRows(rows_folder(store.storage, record))
    rows.refresh()
    asked_of = torch.cat([rows.part(part)[0] for part in ("opening", "prior")])
    assert len(torch.unique(asked_of, dim=0)) == 27
    assert asked(log) <= Division.of(400).opening + 2 + 27 and "round-1" not in record.queries
    spent = asked(log)
    tree["budget"]["total_queries"] = 900
    run(store, tree)
    assert asked(log) == spent


def test_a_study_goes_on_with_more_rows_than_it_may_ask_and_many_repeated(store, log, tmp_path):
    """Each part has other rows, and the rounds have none that was asked."""
    numbers = ", ".join(f"{{name: {name}, mean: 0, std: 2, integer: true}}" for name in "abc")
    run(store, few_tree("costly-whole", tmp_path, f"features: [{numbers}]\n"))
    record = StudyRecord.of(load_study(store.storage, "costly-whole"))
    rows = AnsweredRows(rows_folder(store.storage, record))
    rows.refresh()
    parts = [rows.part(part)[0] for part in ("report", "prior", "stress", "round-1", "round-2", "round-3")]
    x = torch.cat([part for part in parts if len(part)])
    assert len(torch.unique(x, dim=0)) == len(x) > 250
    assert asked(log) <= 400


def test_after_a_raise_preset_and_reruns_train_on_all_rows(store, log, tmp_path, dfkd):
    run(store, costly_tree("costly-honest", tmp_path, 400))
    before = StudyRecord.of(load_study(store.storage, "costly-honest"))
    most = max(trial.user_attrs["answered_rows"] for trial in store.trials("costly-honest"))
    assert before.untuned["answered_rows"] == before.answered >= most > 240
    assert {score[2] for each in before.reruns.values() for score in each.values()} == {before.answered}

    ended = run(store, costly_tree("costly-honest", tmp_path, 600))
    after = StudyRecord.of(load_study(store.storage, "costly-honest"))
    assert after.untuned["answered_rows"] == after.answered == ended.baseline_rows == ended.promoted.rows
    assert after.answered > before.answered + 100
    assert after.untuned["record"] != before.untuned["record"]
    shown = " ".join(dfkd("show", "costly-honest", "--storage", store.storage).out.split())
    assert f"{after.answered} answered rows" in shown and f"the promoted student on {after.answered}" in shown
    assert shown.index("round-6") < shown.index("again ") < shown.index("certificate ")


def test_every_place_tells_the_same_rows(store, log, tmp_path):
    ended = run(store, costly_tree("costly-same", tmp_path, 400))
    record = StudyRecord.of(load_study(store.storage, "costly-same"))
    assert sum(record.queries.values()) == 400 and dict(record.queries) == Division.read(record.division).parts()
    certificate = certificate_of(store, "costly-same", ended.promoted.run)
    assert certificate["statement"]["holds"][0].endswith("40 rows that neither training nor pruning nor selection saw.")
    assert certificate["budget"]["attack_rows"] == record.queries["certificate"] == 42
    assert certificate["statement"]["holds"][2].startswith("An attack of 42 teacher rows")
    (parent,) = store.runs("costly-same", "study")
    assert parent.data.metrics["study/shared_teacher_rows"] == 400 == parent.data.metrics["study/total_queries"]
    assert parent.data.tags["dfkd.total_queries"] == "400"
    assert not {"pool", "bank", "pool_gradients", "teacher_rows", "total_queries"} & parent.data.params.keys()
    assert parent.data.params["report_rows"] == str(record.queries["report"]) == "40"


def test_a_run_of_a_total_is_not_repeated_beside_it(store, log, tmp_path):
    run(store, costly_tree("costly-replayed", tmp_path, 400, trials=1, reruns=0))
    (trial,) = store.runs("costly-replayed", "trial")
    before = asked(log)
    with fails("study 'costly-replayed'", "whose rows are counted (total_queries 400)", kind=NotFound):
        load_replay(store.tracking, trial.info.run_id, Sources())
    assert asked(log) == before


def test_a_teacher_that_answers_otherwise_is_refused_before_it_is_asked_on(store, log, tmp_path, monkeypatch):
    run(store, costly_tree("costly-drift", tmp_path, 400, trials=2, reruns=0))
    before = asked(log)
    monkeypatch.setattr(costly, "SHIFT", 0.05)
    with fails("costly:answer", "answers otherwise than when this study asked it before", kind=TeacherError):
        run(store, costly_tree("costly-drift", tmp_path, 600, trials=2, reruns=0))
    assert asked(log) - before <= 4  # two rows twice
    monkeypatch.setattr(costly, "SHIFT", 0.0)
    assert run(store, costly_tree("costly-drift", tmp_path, 600, trials=2, reruns=0)).promoted is not None


def test_few_different_rows_are_not_asked_of_two_teachers(store, log, tmp_path, monkeypatch):
    levels = ", ".join(f"{{name: {name}, levels: [0, 1, 2, 3], nominal: true}}" for name in "abc")
    tree = few_tree("costly-mixed", tmp_path, f"features: [{levels}]\n", trials=1, reruns=0)
    run(store, tree)
    record, before = StudyRecord.of(load_study(store.storage, "costly-mixed")), asked(log)
    folder = rows_folder(store.storage, record)
    max(folder.glob("prior-*")).unlink()  # as a process leaves it that dies in a call
    monkeypatch.setattr(costly, "SHIFT", 0.05)
    with fails("costly:answer", "answers otherwise than when this study asked it before", kind=TeacherError):
        run(store, tree)
    assert asked(log) - before <= 4
    monkeypatch.setattr(costly, "SHIFT", 0.0)
    run(store, tree)
    assert StudyRecord.of(load_study(store.storage, "costly-mixed")).answered == 64


def test_a_teacher_that_changes_before_the_certificate_is_refused(store, log, tmp_path, monkeypatch):
    def changes(study, *given, **more):
        monkeypatch.setattr(costly, "SHIFT", 0.05)
        return conclude(study, *given, **more)

    conclude = StudyRunner._conclude
    monkeypatch.setattr(StudyRunner, "_conclude", changes)
    with fails("costly:answer", "answers otherwise", kind=TeacherError):
        run(store, costly_tree("costly-late", tmp_path, 400, trials=1, reruns=0))
