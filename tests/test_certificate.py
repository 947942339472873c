"""The certificate of fidelity: what it measures, how hard it looks, where it is kept, and that it is told when it cannot be made."""

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
import torch
from mlflow import MlflowClient
from problems import FEATURES, KNOWN, Counting, make_problem, network, recipe
from torch import nn

from dfkd_tune import Distillation, Feature, Inputs, certify, issuing, load_teacher, register, registry
from dfkd_tune.attack import RADIUS, hold
from dfkd_tune.certificate_page import page
from dfkd_tune.declared import in_words
from dfkd_tune.distillation import distill
from dfkd_tune.errors import ExportError, NotFound, StudyMismatch, TeacherError
from dfkd_tune.issuing import Sources
from dfkd_tune.prepared import prepare
from dfkd_tune.problem import Problem
from dfkd_tune.promotion import run_name
from dfkd_tune.seeds import stream
from dfkd_tune.shipping import student_files
from dfkd_tune.spec import parse_spec
from dfkd_tune.study import run_study
from dfkd_tune.teachers import Teacher, probe

PLACE = torch.tensor([0.9, -0.4, 0.2, 0.5], dtype=torch.float64)
SHARES = Inputs([Feature(name=f"share {i}", mean=0.25, std=0.19) for i in range(4)], simplex=range(4))


class Student(nn.Module):
    """A teacher with something added."""

    def __init__(self, teacher, added):
        super().__init__()
        self.teacher, self.added = teacher, added
        self.register_buffer("wide", torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        return self.teacher(x) + self.added(x)


def bump(size=3.0, width=0.25, outputs=1):
    """A bump of the last output, far narrower than the prior."""

    def added(x):
        height = size * torch.exp(-((x - PLACE) / width).square().sum(1) / 2)
        return torch.stack([torch.zeros_like(height)] * (outputs - 1) + [height], dim=1)

    return added


@pytest.fixture(scope="module")
def problem():
    return make_problem()


def finite(value) -> bool:
    """Whether plain values hold no number that JSON cannot."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and finite(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(finite, value))
    return value is None or isinstance(value, str) or math.isfinite(value)


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_teacher_itself_is_certified_without_a_gap(outputs):
    problem = make_problem(outputs=outputs, inputs=KNOWN)
    found = certify(problem, problem.teacher.function)
    scale = 1e-12 * float(problem.spread.max())
    assert found.report.rmse <= scale and found.worst.gap <= scale
    assert found.report.r2 == pytest.approx(1)
    assert found.report.relative_gaps.largest <= 1e-12
    assert all(region.rmse <= scale for region in found.regions)
    assert finite(found.as_dict())
    assert page(found)


def test_a_constant_gap_is_told_in_the_teachers_units(problem):
    found = certify(problem, Student(problem.teacher.function, lambda x: 0.3))
    spread = found.report.by_output[0].spread
    gaps = found.report.by_output[0].gaps
    assert found.report.rmse == pytest.approx(0.3)
    assert found.report.interval == pytest.approx((0.3, 0.3))
    assert (gaps.p50, gaps.p95, gaps.p99, gaps.largest) == pytest.approx((0.3,) * 4)
    assert found.report.relative_rmse == pytest.approx(0.3 / spread)
    assert found.report.r2 == pytest.approx(1 - (0.3 / spread) ** 2)
    assert found.worst.gap == pytest.approx(0.3)
    bank = problem.banks["report"].values * problem.spread
    assert spread == pytest.approx(float(bank.std()))


def test_the_figures_are_those_of_the_report_bank(problem):
    student = Student(problem.teacher.function, lambda x: 0.1 * torch.sin(3 * x[:, :1]))
    found = certify(problem, student)
    x = problem.inputs.draw(200, stream(problem.seed, "report"))
    gaps = (student(x) - problem.teacher(x)).detach().abs()[:, 0]
    assert found.report.rmse == pytest.approx(float(gaps.square().mean().sqrt()))
    assert found.report.by_output[0].gaps.largest == pytest.approx(float(gaps.max()))
    assert found.report.by_output[0].gaps.p95 == pytest.approx(float(gaps.sort().values[189]))
    # A share that 200 rows miss altogether in one of twenty studies.
    assert (1 - found.report.beyond_largest) ** 200 == pytest.approx(0.05)


@pytest.mark.parametrize("differentiable", [True, False])
def test_an_attack_finds_what_the_bank_does_not_show(differentiable):
    teacher = Counting(network())
    asked = (lambda x: teacher(x.detach())) if not differentiable else teacher
    problem = make_problem(asked)
    assert problem.probe.differentiable == differentiable
    student, before = Student(network(), bump()), teacher.rows
    found = certify(problem, student)
    asked_for = teacher.rows - before
    assert found.worst.method == ("gradient" if differentiable else "random")
    assert found.worst.teacher_rows == asked_for == found.budget["attack_rows"]
    assert found.worst.gap > 1.5 * found.report.by_output[0].gaps.largest
    at = torch.tensor([*found.worst.input.values()], dtype=torch.float64)
    assert float((at - PLACE).abs().max()) < 0.3
    # What it tells can be asked again.
    gap = (student(at[None]) - problem.teacher(at[None])).abs()
    assert found.worst.gap == pytest.approx(float(gap), rel=1e-9)
    origin = torch.tensor([*found.worst.origin.values()], dtype=torch.float64)
    assert (problem.banks["report"].z == origin).all(1).any()
    assert float((at - origin).abs().max()) == pytest.approx(found.worst.distance)
    assert found.worst.distance <= RADIUS * (1 + 1e-9)


def test_the_worst_region_holds_the_place(problem):
    wide = Problem(problem.teacher, problem.inputs, problem.probe, pool_rows=512, bank_rows=4000, dtype=torch.float64)
    student = Student(problem.teacher.function, bump(width=0.8))
    found = certify(wide, student).regions
    assert sum(region.rows for region in found) == 2000
    assert sum(region.share for region in found) == pytest.approx(1)
    assert [region.ratio for region in found] == sorted((region.ratio for region in found), reverse=True)
    assert found[0].ratio > 2
    place = dict(zip(problem.inputs.names, PLACE.tolist(), strict=True))
    for condition in found[0].conditions:
        assert condition.above is None or place[condition.feature] > condition.above
        assert condition.upto is None or place[condition.feature] <= condition.upto

    # A region is what its words say, measured on the rows that the tree has not seen.
    x = wide.banks["report"].z[1::2]
    for region in found:
        inside = torch.ones(len(x), dtype=torch.bool)
        for condition in region.conditions:
            column = x[:, problem.inputs.names.index(condition.feature)]
            inside &= column > (-math.inf if condition.above is None else condition.above)
            inside &= column <= (math.inf if condition.upto is None else condition.upto)
        assert int(inside.sum()) == region.rows
        gaps = (student(x[inside]) - problem.teacher(x[inside])).detach()
        assert region.rmse == pytest.approx(float(gaps.square().mean().sqrt()))


@pytest.mark.parametrize("inputs", [KNOWN, SHARES], ids=["mixed", "simplex"])
def test_an_attack_stays_within_what_is_declared(inputs):
    rng = torch.Generator().manual_seed(0)
    origin = inputs.draw(300, rng)
    z = origin + 2 * RADIUS * (2 * torch.rand(origin.shape, generator=rng, dtype=torch.float64) - 1)
    held = hold(inputs, z, origin)
    assert float((held - origin).abs().max()) <= RADIUS * (1 + 1e-3)
    torch.testing.assert_close(inputs.project(held.clone()), held)
    assert (held != origin).any(1).float().mean() > 0.9
    torch.testing.assert_close(hold(inputs, origin, origin), origin)


def test_the_worst_output_is_named():
    problem = make_problem(outputs=3)
    found = certify(problem, Student(problem.teacher.function, bump(size=30.0, outputs=3)))
    assert found.worst.output == 2
    spread = found.report.by_output[2].spread
    assert found.worst.gap == pytest.approx(abs(found.worst.student[2] - found.worst.teacher[2]))
    assert found.worst.relative_gap == pytest.approx(found.worst.gap / spread)
    assert [o.rmse > 0 for o in found.report.by_output] == [False, False, True]
    both = found.report.by_output
    assert found.report.rmse == pytest.approx(math.sqrt(sum(o.rmse**2 for o in both) / 3))
    assert found.report.relative_rmse == pytest.approx(math.sqrt(sum(o.relative_rmse**2 for o in both) / 3))


def test_the_same_twice_is_the_same(problem):
    student = Student(problem.teacher.function, bump())
    assert certify(problem, student).as_dict() == certify(make_problem(), student).as_dict()


def test_an_outcome_is_certified_like_its_module(problem):
    outcome = distill(problem, recipe(), seed=1)
    found = certify(problem, outcome)
    module = certify(problem, problem.module(outcome.recipe.student, outcome.weights))
    assert found.report == module.report and found.worst == module.worst and found.regions == module.regions
    assert (found.budget["steps"], found.budget["batch"]) == (30, 12)
    assert found.student["parameters"] == outcome.parameters


def test_answers_that_are_not_finite_do_not_count(problem):
    student = Student(problem.teacher.function, lambda x: torch.where(x[:, :1] > 0.5, torch.nan, 0.1))
    with pytest.raises(ExportError, match=r"no finite answer to \d+ of 200 report rows"):
        certify(problem, student)
    beyond = float(problem.banks["report"].z[:, 0].max())
    found = certify(
        problem, Student(problem.teacher.function, lambda x: torch.where(x[:, :1] > beyond, torch.nan, x[:, :1]))
    )
    assert found.worst.unanswered > 0
    assert finite(found.as_dict())
    assert "without a finite answer" in found.statement["does_not_hold"][-1]


def test_what_is_declared_is_said():
    assert in_words(Inputs.unknown(3)) == [{"features": ["x0", "x1", "x2"], "declared": "nothing"}]
    said = {group["declared"]: group["features"] for group in in_words(KNOWN)}
    assert said == {
        "nothing": ["plain"],
        "between -1 and 2": ["ranged"],
        "one of 0, 1, 5": ["leveled"],
        "mean 10, standard deviation 3": ["scaled"],
    }
    assert "together 1" in in_words(SHARES)[-1]["declared"]
    correlated = Inputs(
        [Feature(name="a"), Feature(name="b", quantiles={0.05: 1.0, 0.5: 2.0, 0.95: 4.0})],
        rank_correlation=[[1.0], [-0.5, 1.0]],
    )
    said = [group["declared"] for group in in_words(correlated)]
    assert said == [
        "nothing",
        "quantiles 5 %: 1, 50 %: 2, 95 %: 4",
        "rank correlations of all pairs, the strongest a and b -0.50",
    ]


class Seen(HTMLParser):
    """The tags of a page, and what they refer to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.references = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "action", "data")]


def test_the_page_stands_alone_and_runs_nothing():
    hostile = "<script>alert(1)</script>"
    names = [hostile, '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "plain"]
    problem = make_problem(inputs=Inputs([Feature(name=name, mean=0.0, std=1.0) for name in names]))
    student = Student(problem.teacher.function, lambda x: 0.5 * x[:, :1].clamp(min=0) ** 2)
    text = page(certify(problem, student, {"study": hostile, "trial": 3, "run_id": "<b>"}))
    seen = Seen(text)
    assert not seen.references
    assert not seen.tags & {"script", "img", "link", "iframe", "b>"}
    assert not any(word in text for word in ("http:", "https:", "@import", "url("))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert 'name="viewport"' in text
    assert text.index("RMSE") < text.index("<h2>")


def test_many_features_are_folded_away():
    problem = make_problem(inputs=Inputs.unknown(60))
    text = page(certify(problem, Student(problem.teacher.function, lambda x: 0.1 * x[:, :1])))
    assert "36 more features" in text and "and 36 more" in text


@pytest.fixture(scope="module")
def ended(store, tiny):
    """A study, and which of its runs had a certificate when it ended: later tests may add some."""
    done = run_study(tiny("certified", trials=3), store.storage, store.tracking)
    names = [run.info.run_name for kind in ("trial", "rerun", "baseline") for run in store.runs("certified", kind)]
    found = {name: certificate_of(store, "certified", name) for name in names}
    return done, {name: (held is not None, "worst_gap" in run.data.metrics) for name, (held, run) in found.items()}


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
    assert run.data.metrics["report_rmse"] == held["report"]["rmse"]
    assert run.data.metrics["worst_gap"] == held["worst"]["gap"]
    assert run.info.status == "FINISHED"


def test_the_promoted_student_is_registered_with_its_certificate(done, store, monkeypatch):
    def never(*given, **known):
        raise AssertionError("the teacher is not needed")

    with monkeypatch.context() as patch:
        patch.setattr("dfkd_tune.issuing.load_teacher", never)
        registered = register(store.tracking, "certified", "sound")
    held, _ = certificate_of(store, "certified", done.promoted.run)
    assert (registered.report_rmse, registered.worst_gap) == (held["report"]["rmse"], held["worst"]["gap"])
    client = MlflowClient(store.tracking)
    version = client.get_model_version_by_alias("sound", "champion")
    assert float(version.tags["dfkd.report_rmse"]) == held["report"]["rmse"]
    assert float(version.tags["dfkd.worst_gap"]) == held["worst"]["gap"]
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
        (Sources(teacher=str(tmp_path / "gone.pt2")), NotFound, r"gone\.pt2; give --teacher PATH"),
        (Sources(teacher=str(another)), StudyMismatch, "another.pt2 is not what it was made with.*give --teacher PATH"),
        (Sources(features=str(tmp_path / "gone.yaml")), NotFound, "give --features PATH"),
        (Sources(features=str(tmp_path / "features.yaml")), StudyMismatch, "features.*give --features PATH"),
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
    with registry.fetch(store.tracking, best["student"]["run_id"]) as folder:
        problem = issuing.recall("certified", parent.data.params, parent.data.tags, Sources())
        again = issuing.issue(problem, folder, {k: best["student"][k] for k in ("study", "trial", "run_id")})
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
    with pytest.raises(TeacherError, match=r"a certificate needs the teacher.*--trust-pickle"):
        register(store.tracking, "pickled", "pickled")
    done = register(store.tracking, "pickled", "pickled", sources=Sources(trust_pickle=True))
    assert done.report_rmse == held["report"]["rmse"]


def test_a_teacher_in_float32_is_certified(small_teacher):
    module = network().float()
    inputs = Inputs.unknown(FEATURES)
    teacher = Teacher("single", module, torch.float32, "sha")
    problem = Problem(teacher, inputs, probe(teacher, inputs), pool_rows=500, bank_rows=200)
    found = certify(problem, module)
    assert found.worst.relative_gap < 1e-5 and found.report.relative_rmse < 1e-5


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
def test_students_of_every_kind_are_certified_from_their_files(kind, problem, tmp_path):
    outcome = distill(problem, recipe(student=kind, start="random"), seed=1)
    for name, data in student_files(problem, outcome, {}).items():
        (tmp_path / Path(name).name).write_bytes(data)
    found = issuing.issue(problem, tmp_path, {"study": "kinds", "trial": 0})
    direct = certify(problem, outcome)
    assert found.report.rmse == pytest.approx(direct.report.rmse, rel=1e-5)
    assert found.student["parameters"] == outcome.parameters
    assert (found.worst.method, found.worst.starts) == ("gradient", 8)
