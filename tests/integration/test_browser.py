"""In a real browser: the pages of a study in MLflow, its report and certificate, and the documentation.

Looked for: what a person needs to see, pictures that are not there, errors of our own scripts, and requests to other hosts.
"""

import os
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts, load_dict
from processes import free_port, serving

from dfkd_tune import register
from dfkd_tune.reporting.html_report import report
from dfkd_tune.study.session import run_study

ROOT = Path(__file__).parents[2]
SITE = ROOT / "site"
DEMANDED = bool(os.environ.get("CI"))
MODEL = "seen in a browser"

shots = runpy.run_path(str(ROOT / "docs" / "scripts" / "screenshots.py"))
look, View, number = shots["look"], shots["View"], shots["number"]


@pytest.fixture(scope="module")
def window():
    """One browser for all tests."""
    if not DEMANDED:
        pytest.importorskip("playwright")
        if shots["chromium"]() is None:
            pytest.skip("no browser: apt-get install chromium")
    with shots["browser"]() as context:
        yield context


@pytest.fixture(scope="module")
def champion(window, store, finished, mlflow_server):
    """The run whose student is registered, as a server tells of it."""
    register(store.tracking, "finished", MODEL)
    client = MlflowClient(mlflow_server.url)
    return client.get_run(client.get_model_version_by_alias(MODEL, "champion").run_id)


@pytest.fixture(scope="module")
def certificate(champion) -> dict:
    return load_dict(f"{champion.info.artifact_uri}/certificate/certificate.json")


@pytest.fixture(scope="module")
def views(champion, mlflow_server) -> dict:
    return {view.name: view for view in shots["mlflow_views"](mlflow_server.url, "finished", MODEL)}


def assert_seen(seen, view) -> None:
    assert seen.missing == [], seen.text[:3000]
    assert seen.outside == [], view.name
    assert seen.broken == [], view.name


def assert_ours(seen, view) -> None:
    """Of pages that are this package's alone."""
    assert_seen(seen, view)
    assert seen.errors == [], view.name
    assert seen.wider <= 0, f"{view.name} is {seen.wider} pixels wider than the window"
    assert not re.search(r"</?\w+>|&\w+;|\bNone\b|\bnan\b", seen.text), view.name


@pytest.mark.parametrize(
    "name",
    [
        "mlflow-experiments",
        "mlflow-runs",
        "mlflow-trials",
        "mlflow-compare",
        "mlflow-study",
        "mlflow-run",
        "mlflow-certificate",
        "mlflow-models",
        "mlflow-version",
    ],
)
def test_mlflow_shows_what_a_person_needs(window, views, name):
    assert_seen(look(window, views[name]), views[name])


def test_every_view_of_mlflow_is_looked_at(views):
    (mark,) = test_mlflow_shows_what_a_person_needs.pytestmark
    assert mark.args[1] == [*views]


def test_the_schema_of_a_version_names_the_features(window, store, tiny, mlflow_server, tmp_path):
    """As ``--typed-columns`` declares them."""
    file = tmp_path / "features.yaml"
    file.write_text("features: [{name: load, mean: 3, std: 2}, {name: count, range: [0, 9], integer: true}, valve]\n")
    run_study(tiny("seen-columns", trials=1, features=str(file)), store.storage, store.tracking)
    typed = register(store.tracking, "seen-columns", "seen columns", typed_columns=True)
    shows = ("Schema", "load (required)", "count (required)", "valve (required)", "long", "double")

    def unfold(page) -> None:
        page.get_by_text("Inputs (3)").first.click()

    view = View(
        "schema", f"{mlflow_server.url}/#/models/seen%20columns/versions/{typed.version}", shows, prepare=unfold
    )
    assert_seen(look(window, view), view)


def test_the_models_tab_lists_the_leaders(window, views, finished, mlflow_server):
    """Without a registration: the promoted student and another, each with the run that it comes from."""
    client = MlflowClient(mlflow_server.url)
    experiment = client.get_experiment_by_name("finished")
    models = client.search_logged_models([experiment.experiment_id])
    runs = {client.get_run(model.source_run_id).info.run_name for model in models}
    assert finished.promoted.run in runs and len(runs) > 1
    view = replace(views["mlflow-models"], shows=(*(model.name for model in models), *runs))
    assert_seen(look(window, view), view)


def test_the_note_of_a_study_leaves_room_for_what_is_beside_it(window, views):
    """MLflow does not wrap code: one long line, and what it shows beside the note is out of the window."""
    beside = []

    def measure(page) -> None:
        views["mlflow-study"].prepare(page)
        beside.append(page.get_by_text("About this run").first.bounding_box())

    view = replace(views["mlflow-study"], prepare=measure)
    assert_seen(look(window, view), view)
    assert beside[0]["x"] + beside[0]["width"] < view.size[0]


def test_the_report(window, certificate, store, tmp_path):
    file = tmp_path / "finished-report.html"
    file.write_text(report(store.storage, store.tracking, "finished"), encoding="utf-8")
    for view in shots["report_views"](file, "finished", certificate):
        assert_ours(look(window, view), view)


def test_the_certificate_as_a_file(window, champion, certificate, tmp_path):
    run, report_rmse = champion.info, certificate["report"]["rmse"]
    file = Path(download_artifacts(f"{run.artifact_uri}/certificate/certificate.html", dst_path=str(tmp_path)))
    shows = ("Certificate of fidelity", number(report_rmse), number(certificate["worst"]["gap"]), "as declared")
    for size in (shots["WIDE"], shots["PHONE"]):
        view = View("certificate", file.as_uri(), shows, size)
        assert_ours(look(window, view), view)


class TestSite:
    @pytest.fixture(autouse=True)
    def built(self):
        if not DEMANDED and not (SITE / "index.html").exists():
            pytest.skip("no site: make docs")

    def seen(self, window, page: str, *shows: str, size=None):
        view = View(page, (SITE / page).as_uri(), shows, size or shots["WIDE"])
        seen = look(window, view)
        assert (seen.missing, seen.outside, seen.broken, seen.errors) == ([], [], [], []), page
        return seen

    def test_pages_show_what_they_should(self, window):
        self.seen(window, "index.html", "distills the student without data", "Getting started", "Quickstart")
        self.seen(window, "guides/mlflow.html", "Where records go", "dfkd-tune sync")
        self.seen(window, "guides/deployment.html", "docker compose", "kubectl", "POSTGRES_PASSWORD")
        self.seen(window, "reference/python.html", "Distillation", "distill")
        self.seen(window, "reference/cli.html", "dfkd-tune study", "--n-trials")

    def test_equations_are_drawn(self, window):
        """As MathML: the browser gives each a size, and no TeX is left in the text."""
        page = window.new_page()
        page.goto((SITE / "explanation" / "method.html").as_uri())
        sizes = page.evaluate("[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().width)")
        text = page.locator("article").inner_text()
        page.close()
        assert len(sizes) > 10 and min(sizes) > 0
        assert not re.search(r"\\(frac|mathbb|lVert|alpha|sum)", text)

    def test_pages_fit_a_phone(self, window):
        for page in ("index.html", "guides/features.html", "reference/study-file.html", "benchmarks/fidelity.html"):
            assert self.seen(window, page, size=shots["PHONE"]).wider <= 0, page

    def test_links_lead_to_pages(self, window):
        page = window.new_page()
        page.goto((SITE / "index.html").as_uri())
        links = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
        page.close()
        files = {unquote(urlsplit(link).path) for link in links if link.startswith("file:")}
        assert len(files) > 10
        assert [file for file in files if not Path(file).is_file()] == []

    def test_the_search_finds_a_page(self, window):
        """Where a server hands the pages out: the theme has no search in pages opened as files."""
        port = free_port()
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(SITE)]
        with serving(command, f"http://127.0.0.1:{port}/index.html", SITE):

            def search(page) -> None:
                page.locator("input.md-search__input").click()
                page.get_by_text("Type to start searching").wait_for()  # the index has been read
                page.keyboard.type("ConfigMap", delay=20)

            view = View(
                "search",
                f"http://127.0.0.1:{port}/index.html",
                ("A ConfigMap holds 1 MiB",),
                prepare=search,
            )
            seen = look(window, view)
        assert (seen.missing, seen.outside, seen.errors) == ([], [], []), seen.text
