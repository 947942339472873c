"""The report of a study as one self-contained HTML page, the result first."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfkd_tune.errors import NotFound
from dfkd_tune.evaluation.certificate_page import bars
from dfkd_tune.evaluation.knowledge.gain import NEXT, Gain
from dfkd_tune.locations.paths import existing
from dfkd_tune.registry.certificate_files import FOLDER as CERTIFICATE
from dfkd_tune.registry.certificate_files import JSON, is_certified
from dfkd_tune.reporting import summary_text
from dfkd_tune.reporting.findings import Findings, find, front
from dfkd_tune.reporting.seed_noise import completed
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import open_client, preflight
from dfkd_tune.tracking.run_files import FIGURES
from dfkd_tune.tracking.run_lookup import fetch, find_run, parent_run
from dfkd_tune.training.rmse_words import of_outputs, outputs_in_words
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.text import html

LOG = logging.getLogger(__name__)
TABLE_TRIALS = 15
"""Number of trials in the table."""
STUDY_FIGURES = {
    "history": ("How the search went", "Every trial in its order, and the best so far."),
    "generator": ("By generator", "Every trial by its generator, the one with the best trial first."),
    "bound": ("By gap bound", "Every trial by the bound of the gap that its generator seeks."),
    "threshold": (
        "By threshold of the bound",
        "With a very small threshold the bound rewards no gap; above all gaps it has no effect.",
    ),
    "pareto_parameters": (
        "Against size",
        "The line connects the trials that no other trial beats in both size and objective.",
    ),
    "pareto_latency": ("Against latency", "One row at a time in {runtime}, on the machine of the study."),
    "importance": (
        "What mattered",
        "How important each choice is for being among the best trials. With few trials this is only a hint.",
    ),
    "parallel": (
        "All choices at once",
        "Each line is a trial, the best in red; a gap means that the trial had no such choice.",
    ),
}
"""Figure of the trials -> its title and caption."""
STUDENT_FIGURES = {
    "parity": "Outputs of the student against the teacher's, on the report bank.",
    "residuals": "Residuals against the teacher's outputs.",
    "training": "RMSE during training.",
    "synthetic": "Synthetic and declared inputs: a projection, and the features that differ most.",
    "leaders": "The best trials side by side on the selection bank, standardized: outputs and residuals.",
}
"""Figure of one or several students -> its caption."""
WIDE = ("parallel", "synthetic", "leaders")


@dataclass(frozen=True)
class Recorded:
    """The records of a study's student in MLflow; empty if there are none.

    Args:
        run: MLflow run of the student.
        certificate: content of ``certificate.json``.
        pictures: figure -> PNG.
        params, tags: parameters and tags of the parent run.
    """

    run: Any = None
    certificate: dict[str, Any] | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def report(storage_url: str, uri: str, name: str) -> str:
    """The report of a recorded study, as HTML.

    Args:
        storage_url: URL of its Optuna storage.
        uri: MLflow tracking URI, for its student and certificate.
        name: name of the study.

    Raises:
        NotFound: if there is no such study.
        StorageError, TrackingError: if a store cannot be reached.
    """
    found = find(load_study(storage_url, name))
    return page(found, recorded(uri, found))


def recorded(uri: str, found: Findings) -> Recorded:
    """Load the records of a study and its student from MLflow."""
    try:
        preflight(existing(uri, f"study {found.name!r}"), write=False)
        parent = parent_run(uri, found.name)
        known = {"params": parent.data.params, "tags": parent.data.tags} if parent else {}
        pictures = _pictures(uri, parent.info.run_id) if parent else {}
        run = find_run(uri, found.name, name=found.run) if found.run else None
    except NotFound as error:
        LOG.warning("the report leaves out what MLflow would add: %s", error)
        return Recorded()
    if run is None:
        return Recorded(pictures=pictures, **known)
    certificate = None
    if is_certified(uri, run):
        with fetch(uri, run.info.run_id, CERTIFICATE) as folder:
            certificate = json.loads((folder / JSON).read_text(encoding="utf-8"))
    return Recorded(run, certificate, pictures | _pictures(uri, run.info.run_id), **known)


def _pictures(uri: str, run_id: str) -> dict[str, bytes]:
    """The figures of a run, by name."""
    if FIGURES not in {file.path for file in open_client(uri).list_artifacts(run_id)}:
        return {}
    with fetch(uri, run_id, FIGURES) as folder:
        return {file.stem: file.read_bytes() for file in sorted(Path(folder).glob("*.png"))}


def page(found: Findings, held: Recorded) -> str:
    """Render the page from findings and records."""
    from dfkd_tune.reporting.plot_style import svg  # Matplotlib, for which an unknown name does not wait
    from dfkd_tune.reporting.study_figures import figures

    student, certificate = found.student, held.certificate
    listed = completed(found.trials)[:TABLE_TRIALS]
    recipes, alike = summary_text.recipe_lines(listed)
    return html.render(
        "report.html.jinja",
        found=found,
        held=held,
        c=certificate,
        beside=summary_text.beside(found.rows.promoted, found.rows.untuned) if found.rows is not None else "",
        by_output=outputs_in_words(of_outputs(certificate)) if certificate else "",
        headline=summary_text.headline(found),
        state_counts=summary_text.state_counts(found),
        ended=found.promoted is not None,
        questions=summary_text.questions(found) if student else [],
        bars=bars(certificate) if certificate else [],
        figures=[(*_words(key, found), svg(figure, key), key) for key, figure in figures(found).items()],
        pictures=[
            (words, _inline(held.pictures[key]), key) for key, words in STUDENT_FIGURES.items() if key in held.pictures
        ],
        wide=WIDE,
        student=student,
        recipe=yaml_io.dump(found.recipe) if student else "",
        trials=list(zip(listed, recipes, strict=True)),
        alike=alike,
        front=[trial.number for trial in front(found.trials)],
        line=summary_text.recipe_line(student) if student else "",
        again=summary_text.again(held.tags, held.run) if held.run else None,
        gain=None if (known := StudyRecord.of(found.study).knowledge) is None else Gain(**known),
        next_tiers=NEXT,
        versions=json.loads(held.tags.get(tag.VERSIONS, "{}")),
    )


def _words(key: str, found: Findings) -> tuple[str, str]:
    """Title and caption of a figure of the trials."""
    title, caption = STUDY_FIGURES[key]
    return title, caption.format(runtime=StudyRecord.of(found.study).runtime or "plain PyTorch")


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
