"""The HTML report of a study stands alone, and begins with the answer."""

import json
import math
import re
from dataclasses import asdict
from html.parser import HTMLParser

import optuna
import yaml
from made_trials import of, trial
from optuna.trial import TrialState

from dfkd_tune.evaluation.knowledge.gain import Gain
from dfkd_tune.recipes.recipe import from_tree
from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.html_report import report
from dfkd_tune.reporting.study_figures import figures
from dfkd_tune.search.foreign import AGREED
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.ranking import Promoted


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


def test_a_report_without_a_certificate_tells_the_promoted_student(store, tmp_path):
    """Its RMSE is that of the re-run, and not that of the short trial whose recipe it has."""
    url = f"sqlite:///{tmp_path}/optuna.db"
    study = optuna.create_study(storage=url, study_name="rerun")
    study.set_user_attr("identity", dict.fromkeys(AGREED, "known"))
    study.set_user_attr("pool", 500)
    for each in of(direct=[0.5, 0.4]):
        study.add_trial(each)
    untuned = {name: each for name, each in study.trials[0].user_attrs.items() if name != "rmse"}
    study.set_user_attr("untuned", untuned | {"rmse": 0.37})
    study.set_user_attr("baseline", 0.37)
    for trial_number, told, recipe in ((1, 0.31, "trial 1"), (None, 0.37, "the untuned baseline")):
        promoted = Promoted(trial_number, "a run", told, told, told)
        study.set_user_attr("promoted", vars(promoted))
        text = Page(report(url, store.tracking, "rerun")).text
        assert f"{told}RMSE to the teacher on the selection bank" in text and "0.4RMSE" not in text
        assert f"Its recipe, {recipe}:" in text and "trial -1" not in text


def test_the_report_tells_what_more_knowledge_would_buy(store, tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    study = optuna.create_study(storage=url, study_name="buying")
    study.set_user_attr("identity", dict.fromkeys(AGREED, "known"))
    study.set_user_attr("pool", 500)
    for each in of(direct=[0.5, 0.4], gaussian=[0.6, 0.8]):
        study.add_trial(each)
    assert "What more knowledge would buy" not in report(url, store.tracking, "buying")
    for gain, needed in (
        (Gain("correlation", 0.23, -0.1, 0.41, 10, 118_952), ("23 %", "0 to 41 %", "--tier correlation", "118,952")),
        (Gain(None), ("Nothing to gain",)),
        (Gain("quantiles", why="it is slow"), ("Not estimated, as it is slow", "--tier quantiles")),
    ):
        study.set_user_attr("knowledge", asdict(gain))
        text = report(url, store.tracking, "buying")
        assert all(words in text[text.index("What more knowledge would buy") :] for words in needed)
