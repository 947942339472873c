"""What a study found: the numbers, the report that tells them, and the story that its runs tell in MLflow."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from tiny_studies import runs_of

from dfkd_tune.export.synthetic_rows import read_synthetic, synthetic_file
from dfkd_tune.recipes.presets import ADVERSARIAL, PAPER, RANDOM
from dfkd_tune.recipes.recipe import from_tree
from dfkd_tune.reporting.findings import compare, find, front, seed_noise, size_effect
from dfkd_tune.reporting.html_report import report
from dfkd_tune.reporting.plot_style import png, svg
from dfkd_tune.reporting.study_figures import figures
from dfkd_tune.reporting.summary_text import headline, recipe_line, recipe_lines, winner
from dfkd_tune.search.foreign import AGREED
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.testing.problems import make_problem, recipe
from dfkd_tune.training.distill import distill

LEAF = "generator.kind"


def trial(value, kind="direct", state=TrialState.COMPLETE, **attributes):
    """A finished trial of a study that chose among two generators."""
    made = create_trial(
        params={LEAF: kind},
        distributions={LEAF: CategoricalDistribution(["direct", "gaussian"])},
        values=None if state != TrialState.COMPLETE else [value],
        state=state,
        user_attrs={"rmse": value, "parameters": 100.0, "seconds": 1.0, "recipe": json.dumps(PAPER.tree())}
        | attributes,
    )
    return made


def numbered(trials):
    for number, each in enumerate(trials):
        each.number = number
    return trials


def of(**kinds):
    return numbered([trial(value, kind) for kind, values in kinds.items() for value in values])


def test_a_choice_whose_trials_all_are_better_won_for_sure():
    found = compare(of(direct=[1.0, 1.1, 1.2], gaussian=[2.0, 2.1, 2.3, 2.2]), LEAF, noise=0.01)
    assert [side.choice for side in found.sides] == ["direct", "gaussian"]
    assert found.verdict == "sure" and found.sides[0].chance == 1.0
    assert found.margin == pytest.approx(0.5)
    assert "direct won: the objective of its best trial is 50 % lower than the best of gaussian" in winner(found)


@pytest.mark.parametrize(
    ("trials", "noise", "why"),
    [
        (of(direct=[1.0, 1.5, 1.9], gaussian=[1.1, 1.2, 1.3]), 0.0, "it has the best trial in only"),  # one lucky trial
        (
            of(direct=[1.0, 1.01, 1.02], gaussian=[1.03, 1.04, 1.05]),
            0.5,
            "it has the best trial in only",
        ),  # noise drowns it
        (of(direct=[1.0, 1.1, 1.2], gaussian=[2.0]), 0.01, "gaussian has only 1 complete trial"),
        (of(direct=[1.0, 1.1, 1.2], gaussian=[2.0, 2.1, 2.2]), None, "seed noise is unknown"),
    ],
)
def test_what_is_not_sure_is_not_called_so(trials, noise, why):
    found = compare(trials, LEAF, noise)
    assert found.verdict == "not sure"
    assert winner(found).startswith("Not sure.") and why in winner(found)


def test_a_choice_without_a_rival_is_not_compared():
    assert compare(of(direct=[1.0, 2.0]), LEAF, 0.1) is None
    assert compare(of(direct=[1.0, 2.0]), "bound.kind", 0.1) is None


def test_pruned_trials_are_counted_with_their_choice():
    pruned = [trial(math.nan, "gaussian", TrialState.PRUNED) for _ in range(2)]
    found = compare(numbered([*of(direct=[1.0, 1.1], gaussian=[2.0]), *pruned]), LEAF, 0.1)
    assert {side.choice: side.pruned for side in found.sides} == {"direct": 0, "gaussian": 2}


def test_noise_is_the_deviation_between_seeds():
    trials = of(direct=[1.0, 2.0, 3.0])
    again = {"0": {"a": [math.exp(0.2), 1.0]}, "1": {"b": [2.0 * math.exp(-0.2), 1.0], "c": None}}
    assert seed_noise(trials, again) == pytest.approx(0.2 / math.sqrt(2))
    assert seed_noise(trials, {}) is None


def test_size_is_told_within_generators():
    """A law of the square root, with one generator twice as bad and made of large students."""
    small = [trial(p**-0.5, "direct", parameters=float(p)) for p in (50, 100, 200, 400)]
    large = [trial(2 * p**-0.5, "gaussian", parameters=float(p)) for p in (400, 800, 1600, 3200)]
    found = size_effect(numbered([*small, *large]))
    assert found.change == pytest.approx(2**-0.5 - 1)
    assert found.sure and (found.smallest, found.largest) == (50, 3200)
    rng = np.random.default_rng(0)
    chance = [trial(math.exp(rng.standard_normal()), parameters=float(p)) for p in range(50, 250, 10)]
    assert not size_effect(numbered(chance)).sure
    assert size_effect(of(direct=[1.0] * 9)) is None  # of one size


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=12))
def test_nothing_beats_the_front(points):
    trials = numbered([trial(float(value), parameters=float(size)) for size, value in points])
    best = front(trials)
    at = {(t.user_attrs["parameters"], t.values[0]) for t in best}
    assert len(at) == len(best)
    for size, value in points:
        beaten = any((s <= size and v <= value) and (s, v) != (size, value) for s, v in points)
        assert ((size, value) in at) == (not beaten)


@pytest.mark.parametrize("preset", [RANDOM, PAPER, ADVERSARIAL], ids=["random", "paper", "adversarial"])
def test_synthetic_rows_are_kept_to_look_at(preset, tmp_path):
    problem = make_problem()
    outcome = distill(problem, recipe(preset), 0)
    files = synthetic_file(problem, outcome)
    assert outcome.latency > 0
    if preset is RANDOM:
        assert outcome.synthetic is None and files == {}
        return
    for name, content in files.items():
        (tmp_path / Path(name).name).write_bytes(content)
    torch.testing.assert_close(read_synthetic(problem, tmp_path), outcome.synthetic.float())
    gap = problem.answer(outcome.synthetic) - recipe_answer(problem, outcome, outcome.synthetic)
    plain = problem.answer(problem.pool.z) - recipe_answer(problem, outcome, problem.pool.z)
    if preset is PAPER:  # it climbs the gap
        assert gap.abs().mean() > plain.abs().mean()


def recipe_answer(problem, outcome, z):
    weights = [w.unsqueeze(0) for w in outcome.weights]
    return outcome.recipe.student.answer(weights, z.unsqueeze(0), problem.columns)[0]


class Page(HTMLParser):
    """What a page refers to, its identifiers, its text."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.tags, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.links += [given[key] for key in ("src", "href", "xlink:href") if key in given]
        self.ids += [given["id"]] if "id" in given else []

    def handle_data(self, data):
        self.text += data


def test_the_report_stands_alone_and_begins_with_the_answer(dfkd, store, finished, tmp_path):
    ended = dfkd("report", "finished", *store.options)
    assert ended.status == 0, ended.err
    assert ended.out == "wrote finished-report.html\n"
    text = (tmp_path / "finished-report.html").read_text()
    page = Page(text)
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in page.links)
    assert not {"script", "link", "iframe"} & {*page.tags}
    assert "@import" not in text and "url(http" not in text
    drawn = figures(find(load_study(store.storage, "finished")))
    assert page.tags.count("svg") == len(drawn) > 4
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("img") == 5  # of the student, and of the leaders

    (run,) = (run for run in store.runs("finished") if run.info.run_name == finished.promoted.run)
    body = page.text[page.text.index("Study finished: data") :]
    assert body.index("matches teacher.safetensors") < body.index("What was found") < body.index("Which generator?")
    assert f"{finished.report:.4g}" in body[: body.index("What was found")]
    for needed in (
        "Which bound?",
        "What does a larger student gain?",
        "Where it is worst",
        "What it cannot",
        run.info.run_id,
    ):
        assert needed in body
    told = re.search(r"reads it from a file\.\s*(student:.*?)\n\s*What to do", body, re.DOTALL)[1]
    trials = store.trials("finished")
    chosen = json.loads(trials[finished.promoted.trial].user_attrs["recipe"])
    assert from_tree(yaml.safe_load(told)).tree() == chosen


def test_a_report_of_a_study_under_way_says_so(store, tiny, tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    study = optuna.create_study(storage=url, study_name="<under way>")
    study.set_user_attr("identity", dict.fromkeys(AGREED, "known"))
    study.set_user_attr("pool", 500)
    assert "No trial of &lt;under way&gt; is complete" in report(url, store.tracking, "<under way>")
    for each in of(direct=[0.5, 0.4, 0.7], gaussian=[0.6, 0.8, 0.9]):
        study.add_trial(each)
    study.add_trial(trial(math.nan, "gaussian", TrialState.PRUNED))
    study.add_trial(trial(math.nan, "gaussian", TrialState.WAITING))
    text = report(url, store.tracking, "<under way>")
    assert "<under way>" not in text
    assert "is not finished: 6 complete, 1 pruned, 1 waiting" in text
    assert "RMSE of 0.4" in text and "There is none for this student yet" in text
    assert "Not sure. direct leads" in text


def test_figures_take_any_study():
    """Few trials, missing leaves, one choice, values far apart."""
    study = optuna.create_study(study_name="odd")
    assert figures(find(study)) == {}
    study.add_trial(trial(1.0))
    assert {*figures(find(study))} == {"history"}
    space = {"bound.threshold": FloatDistribution(0.01, 10, log=True)}
    for value, threshold in ((1e-6, 0.02), (1.0, 9.0), (1e6, 0.5)):
        made = create_trial(
            params={"bound.threshold": threshold},
            distributions=space,
            values=[value],
            user_attrs={"rmse": value} | SIZED,
        )
        study.add_trial(made)
    drawn = figures(find(study))
    assert {"history", "threshold"} <= {*drawn}
    assert headline(find(study)).startswith("A student with 100 parameters matches the teacher with an RMSE of 1e-06")


SIZED = {"parameters": 100.0, "recipe": json.dumps(PAPER.tree())}


@pytest.fixture(params=["sqlite", "server"])
def done(request):
    return request.getfixturevalue("finished" if request.param == "sqlite" else "served")


def parent_of(done):
    (parent,) = runs_of(done.tracking_uri, done.name, "study")
    return parent


def test_the_parent_run_tells_the_story(done):
    client, parent = MlflowClient(done.tracking_uri), parent_of(done)
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("**A student with")
    for needed in (
        "Which generator?",
        "### Register it",
        f"register {done.name} --model {done.name}",
        done.promoted.run,
    ):
        assert needed in note
    kept = {Path(file.path).stem for file in client.list_artifacts(parent.info.run_id, "figures")}
    assert kept == {"leaders", *figures(find(load_study(done.storage_url, done.name)))}
    experiment = client.get_experiment(parent.info.experiment_id)
    assert experiment.tags["mlflow.note.content"].startswith("A student with")
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] in parent_metrics(done)


def test_a_saved_view_shows_the_trials_best_first(done):
    """As MLflow's page keeps one: its columns exist, and its filter and order are those of a search."""
    client = MlflowClient(done.tracking_uri)
    experiment = client.get_experiment_by_name(done.name)
    (key,) = (key for key in experiment.tags if key.startswith("mlflow.sharedViewState."))
    assert f"viewStateShareKey={key.rpartition('.')[2]}" in experiment.tags["mlflow.note.content"]
    view = json.loads(json.loads(experiment.tags[key])["state"])
    order = f"{view['orderByKey']} {'ASC' if view['orderByAsc'] else 'DESC'}"
    found = client.search_runs([experiment.experiment_id], view["searchFilter"], order_by=[order])
    values = [run.data.metrics["robust"] for run in found]
    assert len(values) == 6 and values == sorted(values)
    for column in view["selectedColumns"]:
        kind, _, name = column.replace("`", "").partition(".")
        assert any(name in getattr(run.data, kind) for run in found), column


def parent_metrics(done):
    return runs_of(done.tracking_uri, done.name, "trial")[0].data.metrics


def test_the_filters_in_the_note_find_the_runs(done):
    client, parent = MlflowClient(done.tracking_uri), parent_of(done)
    words = parent.data.tags["mlflow.note.content"].partition("### Find the runs")[2]
    trials, pruned, good, study = re.findall(r"`((?:tags|metrics)\..*?)`", words)

    def names(wanted):
        return {run.info.run_name for run in client.search_runs([parent.info.experiment_id], wanted)}

    assert names(trials) == {f"trial-{n:04d}" for n in range(6)}
    assert names(pruned) == set()
    assert f"trial-{done.best[1]:04d}" in names(good)
    assert names(study) == {run.info.run_name for run in runs_of(done.tracking_uri, done.name)}


def test_the_promoted_student_has_its_figures(done):
    client = MlflowClient(done.tracking_uri)
    (run,) = (r for r in runs_of(done.tracking_uri, done.name) if r.info.run_name == done.promoted.run)
    kept = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "figures")}
    assert kept == {"parity.png", "residuals.png", "training.png", "synthetic.png"}
    data = Path(client.download_artifacts(run.info.run_id, "figures/parity.png")).read_bytes()
    assert data.startswith(b"\x89PNG")


def test_the_declared_inputs_are_the_dataset(done, tiny):
    inputs = tiny(done.name).inputs
    (promoted,) = (r for r in runs_of(done.tracking_uri, done.name) if r.info.run_name == done.promoted.run)
    for run in (parent_of(done), promoted):
        (held,) = (each for each in run.inputs.dataset_inputs if each.dataset.name.startswith("declared"))
        assert held.dataset.digest == inputs.fingerprint()[:12]
        assert "tier T0" in held.dataset.name
        named = [column["name"] for column in json.loads(held.dataset.schema)["mlflow_colspec"]]
        assert named == inputs.names
        assert {tag.key: tag.value for tag in held.tags} == {"mlflow.data.context": "prior"}


def test_a_study_that_comes_to_nothing_is_told_too(tree, store, tmp_path):
    """Every student diverges."""
    spec = parse_spec(tree("hopeless-report", trials=2, search={"optimizer.lr": [1e30]}), "hopeless-report")
    done = run_study(prepare(spec), f"sqlite:///{tmp_path}/optuna.db", store.tracking)
    assert done.promoted is None
    (parent,) = store.runs("hopeless-report", "study")
    assert parent.data.tags["mlflow.note.content"].startswith("**No trial of hopeless-report is complete: 2 pruned.**")
    assert "No trial of hopeless-report is complete" in report(done.storage_url, store.tracking, "hopeless-report")


def test_no_label_of_a_picture_is_cut_off(done):
    """At the resolution of the file, where letters are as wide as they are drawn."""
    for name, figure in figures(find(load_study(done.storage_url, done.name))).items():
        png(figure)
        paper = figure.get_window_extent()
        for axes in figure.axes:
            drawn = axes.get_tightbbox()
            assert paper.x0 <= drawn.x0 and drawn.x1 <= paper.x1, name


def test_what_all_recipes_share_is_said_once():
    trials = of(direct=[1.0, 2.0], gaussian=[3.0])
    for made, preset in zip(trials, (PAPER, PAPER, ADVERSARIAL), strict=True):
        made.user_attrs["recipe"] = json.dumps(preset.tree())
    lines, alike = recipe_lines(trials)
    assert len(lines) == 3 and alike
    for line, each in zip(lines, trials, strict=True):
        assert set(recipe_line(each).split(", ")) == {*filter(None, line.split(", ")), *alike.split(", ")}
    assert lines[0] == lines[1] != lines[2]
    assert recipe_lines(trials[:1])[1] == ""


def test_figures_leave_their_neutral_colors_to_the_page():
    """So that they can be read on a dark one: no text keeps a color of its own."""
    study = optuna.create_study(study_name="dark")
    for each in of(direct=[0.5, 0.4, 0.7, 0.45], gaussian=[0.6, 0.8, 0.9]):
        each.user_attrs["parameters"] = 1000 * each.values[0]
        study.add_trial(each)
    for name, figure in figures(find(study)).items():
        for style in re.findall(r'<text[^>]*style="([^"]*)"', svg(figure, name)):
            assert "fill: var(--" in style, (name, style)
