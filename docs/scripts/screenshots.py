"""What a person sees in a browser: the pages of a study, what must stand on them, and the documentation's pictures of them.

``python docs/scripts/screenshots.py`` runs the quickstart in a directory of its own, which takes two minutes, and writes
``docs/images/``. It needs the extra ``test`` and Debian's package ``chromium``. The tests look at the same views.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60.0
"""Seconds until a page must show what it should."""
SETTLE_MS = 1500
"""Milliseconds for fonts, pictures and animations before a picture is taken."""
WIDE, PHONE = (1200, 760), (390, 1400)
MLFLOW_SETTINGS = {
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.assistant.panelOpen_v1": "false",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
}
"""MLflow's memory in the browser: the side bar for model training, which has the Models tab, and no chat beside it."""

REPLACE = """(pairs) => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode())
        for (const [from, to] of pairs)
            walker.currentNode.data = walker.currentNode.data.replaceAll(from, to);
}"""
"""Replace texts on a page."""


@dataclass(frozen=True)
class View:
    """A page, and what a person must find on it.

    Args:
        name: name of the picture.
        address: URL.
        shows: texts, without regard to case and spaces.
        size: width and height of the window in pixels.
        prepare: what to do on the page before looking at it.
    """

    name: str
    address: str
    shows: tuple[str, ...]
    size: tuple[int, int] = WIDE
    prepare: Callable[[object], None] = lambda page: None


@dataclass
class Look:
    """What was seen.

    Args:
        missing: texts of the view that are not on the page.
        text: text of the page and of the pages in it.
        errors: messages of its scripts.
        outside: addresses that it requested from other hosts.
        broken: pictures that were not loaded.
        wider: pixels by which the page is wider than the window.
    """

    missing: list[str] = field(default_factory=list)
    text: str = ""
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    wider: int = 0


def chromium() -> str | None:
    """The path of a browser; None if there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextlib.contextmanager
def browser() -> Iterator[object]:
    """A window of a headless browser, as a ``playwright`` context in which MLflow shows model training."""
    from playwright.sync_api import sync_playwright

    settings = "".join(f"localStorage.setItem({json.dumps(k)}, {json.dumps(v)});" for k, v in MLFLOW_SETTINGS.items())
    with sync_playwright() as driver:
        # Chromium's sandbox refuses to run as root.
        arguments = ["--no-sandbox", "--disable-gpu"] if os.geteuid() == 0 else ["--disable-gpu"]
        process = driver.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            context = process.new_context(locale="en-US", timezone_id="UTC")
            context.add_init_script(f"if (location.protocol.startsWith('http')) {{ {settings} }}")
            yield context
        finally:
            process.close()


def plain(text: str) -> str:
    """Text as it is compared: lower case, one space between words."""
    return " ".join(text.split()).casefold()


def look(context, view: View, picture: Path | None = None, private: tuple[Path, ...] = ()) -> Look:
    """Open a view, wait until it shows what it should or ``PATIENCE_S`` are over, and say what was seen.

    Args:
        context: from ``browser``.
        view: the page.
        picture: file for a picture of it; None for none.
        private: folders whose paths the picture must not show.
    """
    seen, page = Look(), context.new_page()
    home = re.match(r"https?://[^/]+/|file:", view.address)[0]
    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((home, "data:", "blob:", "about:")) else seen.outside.append(request.url)
        ),
    )
    try:
        page.set_viewport_size({"width": view.size[0], "height": view.size[1]})
        page.goto(view.address)
        view.prepare(page)
        until = time.monotonic() + PATIENCE_S
        while True:
            inputs = page.evaluate("[...document.querySelectorAll('input')].map(input => input.value)")
            seen.text = "\n".join([*(frame.locator("body").inner_text() for frame in page.frames), *inputs])
            seen.missing = [text for text in view.shows if plain(text) not in plain(seen.text)]
            if not seen.missing or time.monotonic() > until:
                break
            page.wait_for_timeout(200)
        seen.broken = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
        seen.wider = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if picture is not None:
            page.wait_for_timeout(SETTLE_MS)
            page.evaluate(REPLACE, [[str(path), "/home/me"] for path in private])
            page.screenshot(path=picture)
        return seen
    finally:
        page.close()


def number(value: float) -> str:
    """A value as pages show it."""
    return f"{value:.4g}"


def mlflow_views(server: str, study: str, model: str) -> list[View]:
    """The pages of a finished study and of its registered model, and what they must show by MLflow's records.

    Args:
        server: URL of the MLflow server.
        study: name of the study.
        model: name of the registered model, whose version ``champion`` is a student of the study.
    """
    from mlflow import MlflowClient

    client = MlflowClient(server)
    experiment = client.get_experiment_by_name(study)
    place, at = f"#/experiments/{experiment.experiment_id}", f"{server}/"
    headline = experiment.tags["mlflow.note.content"].split(".")[0].replace("\\", "")
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`dfkd.kind` = 'study'")
    trials = client.search_runs(
        [experiment.experiment_id],
        "tags.`dfkd.kind` = 'trial' and tags.`dfkd.state` = 'COMPLETE'",
        order_by=["metrics.robust"],
    )
    version = client.get_model_version_by_alias(model, "champion")
    run = client.get_run(version.run_id)
    name, measured = run.info.run_name, run.data.metrics
    runs = quote(json.dumps([trial.info.run_id for trial in trials[:4]]))
    return [
        View("mlflow-experiments", f"{at}#/experiments", (study, "A student with")),
        View("mlflow-runs", f"{at}{place}/runs", (headline, study, "declared inputs", "rerun-"), prepare=_unfold),
        View(
            "mlflow-trials",
            f"{at}{place}/runs?viewStateShareKey=dfkd-leaders",
            (headline, "tags.`dfkd.kind` = 'trial'", "rmse", *(trial.info.run_name for trial in trials[:3])),
            size=(1500, 760),
        ),
        View(
            "mlflow-compare",
            f"{at}#/compare-runs?runs={runs}&experiments=[%22{experiment.experiment_id}%22]",
            ("Parallel Coordinates Plot", *(trial.info.run_name for trial in trials[:4])),
            size=(1200, 900),
        ),
        View(
            "mlflow-study",
            f"{at}{place}/runs/{parent.info.run_id}",
            (headline, "What was found", "Which generator?", "No real row was read"),
            size=(1500, 1000),
            prepare=_unfold_note,
        ),
        View(
            "mlflow-run",
            f"{at}{place}/runs/{version.run_id}",
            (name, "certificate/worst_gap", str(measured["rmse"]), str(measured["certificate/rmse"])),
            size=(1500, 900),
        ),
        View(
            "mlflow-certificate",
            f"{at}{place}/runs/{version.run_id}/artifacts/certificate/certificate.html",
            (
                name,
                "Certificate of fidelity",
                "These values hold for inputs as declared",
                number(measured["certificate/rmse"]),
            ),
        ),
        View("mlflow-models", f"{at}{place}/models", (headline, *(each.name for each in _models(client, experiment)))),
        View(
            "mlflow-version",
            f"{at}#/models/{quote(model)}/versions/{version.version}",
            (
                f"Version {version.version}",
                "@ champion",
                name,
                "certificate/certificate.html",
                number(measured["certificate/rmse"]),
                number(measured["certificate/worst_gap"]),
            ),
            size=(1200, 900),
        ),
    ]


def _models(client, experiment) -> list:
    return client.search_logged_models([experiment.experiment_id])


def _unfold(page) -> None:
    """Show the trials below the study's run."""
    page.locator("button[data-component-id*=runnamecellrenderer]").first.click(timeout=1000 * PATIENCE_S)


def _unfold_note(page) -> None:
    """Show all of a run's note."""
    page.get_by_text("Show more").first.click(timeout=1000 * PATIENCE_S)


def report_views(page: Path, study: str, certificate: dict) -> list[View]:
    """The report of a study as one file, on a desk and on a phone."""
    shows = (
        f"Study {study}",
        "What was found",
        "The search in pictures",
        number(certificate["report"]["rmse"]),
        number(certificate["worst"]["gap"]),
        "These values hold for inputs as declared",
    )
    return [
        View("report", page.as_uri(), shows, size=(1200, 1400)),
        View("report-phone", page.as_uri(), shows, size=PHONE),
    ]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The MLflow server of the study in a directory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_WORKERS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "-m", "dfkd_tune", "ui", "--port", str(port)],
        cwd=folder,
        env=os.environ | lean | {"PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 2 * PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError("the MLflow server does not answer")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def main(folder: Path) -> None:
    """Run the quickstart in a directory unless it is there, and write the pictures that the documentation shows."""
    shown = set(re.findall(r"images/([\w-]+)\.png", "".join(p.read_text() for p in (ROOT / "docs").rglob("*.md"))))
    if not (folder / "mlruns").exists():
        for words in ("study --n-trials 20 --seed 0", "register quickstart --model quickstart", "report quickstart"):
            subprocess.run([Path(sys.executable).with_name("dfkd-tune"), *words.split()], cwd=folder, check=True)
    with served(folder) as server, browser() as window:
        from mlflow import MlflowClient
        from mlflow.artifacts import load_dict

        client = MlflowClient(server)
        run = client.get_run(client.get_model_version_by_alias("quickstart", "champion").run_id)
        certificate = load_dict(f"{run.info.artifact_uri}/certificate/certificate.json")
        views = mlflow_views(server, "quickstart", "quickstart")
        for view in [*views, *report_views(folder / "quickstart-report.html", "quickstart", certificate)]:
            if view.name in shown:
                seen = look(window, view, IMAGES / f"{view.name}.png", (folder, ROOT))
                print(view.name, "lacks " + ", ".join(seen.missing) if seen.missing else "ok", *seen.outside)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
