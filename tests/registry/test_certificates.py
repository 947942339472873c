"""Certificates of recorded students: made when a study ends, and when a student is registered."""

import json
from pathlib import Path

import optuna
import pytest
import torch
from mlflow import MlflowClient
from pages_seen import Seen, finite
from torch import nn

from dfkd_tune import Distillation, load_teacher, register
from dfkd_tune.errors import NotFound, StudyMismatch, TeacherError
from dfkd_tune.evaluation.certificate import certify
from dfkd_tune.export.student_files import student_files
from dfkd_tune.registry import certificates
from dfkd_tune.registry.sources import Sources
from dfkd_tune.search.ranking import run_name
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.testing.problems import make_problem, recipe
from dfkd_tune.tracking import run_lookup
from dfkd_tune.training.distill import distill

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def ended(store, tiny):
    """A study, and which of its runs had a certificate when it ended: later tests may add some."""
    done = run_study(tiny("certified", trials=3, reruns=1), store.storage, store.tracking)
    names = [run.info.run_name for kind in ("trial", "rerun", "baseline") for run in store.runs("certified", kind)]
    found = {name: certificate_of(store, "certified", name) for name in names}
    return done, {
        name: (held is not None, "certificate/worst_gap" in run.data.metrics) for name, (held, run) in found.items()
    }


@pytest.fixture(scope="module")
def done(ended):
    return ended[0]


def certificate_of(store, study, name) -> tuple[dict | None, object]:
    """What the run called ``name`` holds, and the run."""
    client = MlflowClient(store.tracking)
    (run,) = (run for run in store.runs(study) if run.info.run_name == name)
    files = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "certificate")}
    if not files:
        return None, run
    assert files == {"certificate.json", "certificate.html"}
    folder = Path(run.info.artifact_uri.removeprefix("file://")) / "certificate"
    assert Seen((folder / "certificate.html").read_text()).references == []
    return json.loads((folder / "certificate.json").read_text()), run


def test_a_study_ends_with_a_certificate_of_its_student(ended, store):
    done, certified = ended
    assert len(certified) == 3 + 2 + 1
    for name, both in certified.items():
        assert both == (name == done.promoted.run,) * 2
    held, run = certificate_of(store, "certified", done.promoted.run)
    assert finite(held)
    assert held["student"]["study"] == "certified"
    assert held["student"]["trial"] == done.promoted.trial
    assert held["student"]["run_id"] == run.info.run_id
    assert held["student"]["parameters"] == run.data.metrics["parameters"]
    assert held["teacher"]["name"] == "teacher.safetensors"
    assert held["inputs"]["tier"] == "T0"
    assert held["seed"] == 0
    assert held["budget"] == {
        "steps": 40,
        "batch": 20,
        "training_rows": run.data.metrics["teacher_rows"],
        "pool_rows": 500,
        "report_rows": 200,
        "attack_rows": held["worst"]["teacher_rows"],
    }
    assert held["report"]["rmse"] == pytest.approx(done.report, rel=1e-4)
    assert run.data.metrics["certificate/rmse"] == held["report"]["rmse"]
    assert run.data.metrics["certificate/worst_gap"] == held["worst"]["gap"]
    assert run.info.status == "FINISHED"


def test_the_promoted_student_is_registered_with_its_certificate(done, store, monkeypatch):
    def never(*given, **known):
        raise AssertionError("the teacher is not needed")

    with monkeypatch.context() as patch:
        patch.setattr("dfkd_tune.registry.certificates.load_teacher", never)
        registered = register(store.tracking, "certified", "sound")
    held, _ = certificate_of(store, "certified", done.promoted.run)
    assert (registered.report_rmse, registered.worst_gap) == (held["report"]["rmse"], held["worst"]["gap"])
    worst = registered.worst_gap_output, registered.worst_gap_relative
    assert worst == (held["worst"]["output_name"], held["worst"]["relative_gap"])
    client = MlflowClient(store.tracking)
    version = client.get_model_version_by_alias("sound", "champion")
    assert float(version.tags["dfkd.report_rmse"]) == held["report"]["rmse"]
    assert float(version.tags["dfkd.worst_gap"]) == held["worst"]["gap"]
    assert version.tags["dfkd.worst_gap_output"] == held["worst"]["output_name"]
    assert version.tags["dfkd.tier"] == "T0"
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert {Path(f.path).name for f in client.list_logged_model_artifacts(model.model_id, "certificate")} == {
        "certificate.json",
        "certificate.html",
    }


@pytest.fixture
def others(done):
    """The two trials whose recipe is not promoted."""
    return [n for n in range(3) if n != done.promoted.trial]


@pytest.fixture
def other(others):
    """The one that never gets a certificate."""
    return others[0]


def test_what_a_certificate_needs_is_told_in_one_line(done, store, other, small_teacher, tmp_path, tiny):
    (tmp_path / "features.yaml").write_text("features: [a, b, c]\n")
    another = tmp_path / "another.pt2"
    module = nn.Linear(3, 1)
    torch.export.save(
        torch.export.export(module, (torch.zeros(2, 3),), dynamic_shapes=({0: torch.export.Dim("n")},)), another
    )
    for sources, kind, said in (
        (Sources(teacher=str(tmp_path / "gone.pt2")), NotFound, r"gone\.pt2; give teacher=PATH"),
        (Sources(teacher=str(another)), StudyMismatch, "another.pt2 is not what it was made with.*give teacher=PATH"),
        (Sources(features=str(tmp_path / "gone.yaml")), NotFound, "give features=PATH"),
        (Sources(features=str(tmp_path / "features.yaml")), StudyMismatch, "features.*give features=PATH"),
    ):
        with pytest.raises(kind, match=said) as error:
            register(store.tracking, "certified", "refused", other, sources=sources)
        assert "\n" not in str(error.value)
    assert certificate_of(store, "certified", run_name(other))[0] is None
    assert not [m for m in MlflowClient(store.tracking).search_registered_models() if m.name == "refused"]


def test_another_trial_is_certified_when_it_is_registered(done, store, others, dfkd, tmp_path, monkeypatch, tiny):
    late = others[1]
    ended = dfkd("register", "certified", "--model", "late", "--trial", late, "--tracking-uri", store.tracking)
    assert ended.status == 0, ended.err
    held, run = certificate_of(store, "certified", run_name(late))
    assert f"certificate runs:/{run.info.run_id}/certificate: RMSE {held['report']['rmse']:.4g}" in ended.out

    # The banks and the attack are those of the study: what it made for its student, it makes again.
    best, _ = certificate_of(store, "certified", done.promoted.run)
    (parent,) = store.runs("certified", "study")
    with run_lookup.fetch(store.tracking, best["student"]["run_id"]) as folder:
        problem = certificates.rebuild_problem("certified", parent.data.params, parent.data.tags, Sources())
        again = certificates.issue(problem, folder, {k: best["student"][k] for k in ("study", "trial", "run_id")})
    made = again.as_dict()
    assert made.pop("issued") and best.pop("issued")
    assert made == best


def test_a_pickled_teacher_needs_trust_again(store, tiny, tmp_path):
    joblib = pytest.importorskip("joblib")
    from sklearn.svm import SVR

    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).numpy()
    joblib.dump(SVR().fit(x, x[:, 0] ** 2), tmp_path / "svr.joblib")
    tree = {
        "study": {"name": "pickled", "trials": 1},
        "teacher": str(tmp_path / "svr.joblib"),
        "budget": {"steps": 20, "batch": 10, "pool": 300, "bank": 100},
        "preset": "random",
        "search": {},
    }
    ended = run_study(prepare(parse_spec(tree, "pickled"), trust_pickle=True), store.storage, store.tracking)
    held, run = certificate_of(store, "pickled", ended.promoted.run)
    assert held["worst"]["method"] == "random" and not held["teacher"]["differentiable"]
    folder = Path(run.info.artifact_uri.removeprefix("file://")) / "certificate"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(TeacherError, match=r"a certificate needs the teacher.*trust_pickle=True"):
        register(store.tracking, "pickled", "pickled")
    done = register(store.tracking, "pickled", "pickled", sources=Sources(trust_pickle=True))
    assert done.report_rmse == held["report"]["rmse"]


@pytest.mark.parametrize("purpose", ["a timing", "an evaluation"])
def test_what_would_ask_a_teacher_beside_its_total_says_what_it_is(purpose):
    """And names what tells the same without a row."""
    with pytest.raises(
        NotFound, match=rf"{purpose} would ask its teacher.*total_queries 600.*the certificate of its prom"
    ):
        certificates.rebuild_evaluator("counted", {}, {"dfkd.total_queries": "600"}, Sources(), purpose)


def test_a_run_outside_of_any_study_is_registered_without_one(store, small_teacher):
    teacher = load_teacher(small_teacher["path"], Path(small_teacher["architecture"]))
    given = {"preset": "random", "search": {}, "steps": 20, "batch": 10}
    objective = Distillation(teacher, tracking_uri=store.tracking, experiment="own", **given)
    optuna.create_study().optimize(objective, n_trials=1)
    registered = register(store.tracking, "own", "own")
    assert registered.report_rmse is None and registered.worst_gap is None
    assert certificate_of(store, "own", run_name(0))[0] is None


@pytest.mark.parametrize(
    "kind", [{"kind": "rbf"}, {"kind": "module", "path": "torch.nn:Linear"}], ids=["rbf", "module"]
)
def test_students_of_every_kind_are_certified_from_their_files(kind, tmp_path):
    problem = make_problem()
    outcome = distill(problem, recipe(student=kind, initializer="random"), seed=1)
    for name, data in student_files(problem, outcome, {}).items():
        (tmp_path / Path(name).name).write_bytes(data)
    found = certificates.issue(problem, tmp_path, {"study": "kinds", "trial": 0})
    direct = certify(problem, outcome)
    assert found.report.rmse == pytest.approx(direct.report.rmse, rel=1e-5)
    assert found.student["parameters"] == outcome.parameters
    assert (found.worst.method, found.worst.starts) == ("gradient", 8)
