"""Write the summary of a finished study to MLflow: a note and figures on the parent run, and figures on the student's run."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import optuna
from matplotlib.figure import Figure
from torch import Tensor, nn

from dfkd_tune.errors import DfkdError, NotFound
from dfkd_tune.export.student_files import read_student
from dfkd_tune.export.synthetic_rows import FOLDER, read_synthetic
from dfkd_tune.registry.version_record import link_back
from dfkd_tune.reporting import student_figures, summary_text
from dfkd_tune.reporting.findings import Findings, find
from dfkd_tune.reporting.plot_style import png
from dfkd_tune.reporting.seed_noise import completed
from dfkd_tune.reporting.study_figures import figures
from dfkd_tune.search.attributes import PROMOTED, StudyRecord
from dfkd_tune.search.ranking import Promoted, recipe_name, run_name
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import open_client, single_attempt
from dfkd_tune.tracking.run_files import FIGURES
from dfkd_tune.tracking.run_lookup import fetch, find_run, parent_run
from dfkd_tune.tracking.states import State
from dfkd_tune.tracking.tags import RunKind
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils.text.markdown import escaped

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LOG = logging.getLogger(__name__)
LEADING = 3
"""Number of trials whose students are shown side by side."""
LEADERS = "dfkd-leaders"
"""Key of the saved view that lists an experiment's trials."""
LEAVES = ("generator.kind", "bound.kind", "bound.threshold", "student.width", "optimizer.lr")
VIEW = {"startTime": "ALL", "lifecycleFilter": "Active", "modelVersionFilter": "All Runs", "datasetsFilter": []}
"""Settings of a saved view without filters; MLflow 3.17 stores views as tags of the experiment."""


def log_study_summary(
    uri: str, study: optuna.Study, parent: str | None, problem: Problem, promoted: Promoted | None
) -> None:
    """Write the summary of a finished study. A failure is only logged, because the study itself is complete.

    Args:
        uri: MLflow tracking URI.
        study: the Optuna study.
        parent: id of its parent run; None if MLflow is down.
        problem: problem of the study.
        promoted: the promoted student.
    """
    from mlflow.exceptions import MlflowException

    study.set_user_attr(PROMOTED, promoted and asdict(promoted))
    if parent is None:
        return
    try:
        with single_attempt(uri):
            _tell(uri, study, parent, problem, promoted)
    except (MlflowException, DfkdError) as error:
        LOG.warning("the MLflow summary of study %s is incomplete: %s", study.study_name, str(error).splitlines()[0])


def _tell(uri: str, study: optuna.Study, parent: str, problem: Problem, promoted: Promoted | None) -> None:
    found, client = find(study), open_client(uri)
    _keep(client, parent, figures(found) | _leading(uri, found, problem))
    run = find_run(uri, study.study_name, name=promoted.run) if promoted else None
    if run is not None:
        curve = client.get_metric_history(run.info.run_id, metric.CURVE_RMSE)
        with fetch(uri, run.info.run_id) as folder:
            student, _ = read_student(folder)
        points = [(point.step, point.value) for point in curve]
        _keep(client, run.info.run_id, portraits(problem, student, points, _rows(uri, run.info.run_id, problem)))
    for run_id in (parent, *([run.info.run_id] if run else [])):
        _declare(client, run_id, problem)
    _note(client, found, parent, run)


def rewrite_notes(uri: str, study: optuna.Study) -> None:
    """Write the notes of a study's experiment and parent run again, because its name changed. A failure is only logged.

    Args:
        uri: MLflow tracking URI.
        study: the Optuna study; one whose summary was never written stays without.
    """
    from mlflow.exceptions import MlflowException

    name, promoted = study.study_name, StudyRecord.of(study).promoted
    try:
        parent = parent_run(uri, name)
        if parent is not None and tag.NOTE in parent.data.tags:
            run = find_run(uri, name, name=promoted["run"]) if promoted else None
            _note(open_client(uri), find(study), parent.info.run_id, run)
    except (MlflowException, DfkdError) as error:
        LOG.warning("the notes of study %s have its former name: %s", name, str(error).splitlines()[0])


def _note(client: MlflowClient, found: Findings, parent: str, run: Run | None) -> None:
    record = client.get_run(parent)
    client.set_tag(parent, tag.NOTE, note(found, record.data.params, record.data.tags, run))
    if run is not None and tag.REGISTERED in record.data.tags:
        link_back(client, run)  # the note before listed the registered versions
    for key, value in _of_experiment(found, record.info.experiment_id).items():
        client.set_experiment_tag(record.info.experiment_id, key, value)


def _leading(uri: str, found: Findings, problem: Problem) -> dict[str, Figure]:
    """A figure of the best trials' students side by side, on the selection bank."""
    shown = {}
    for trial in completed(found.trials)[:LEADING]:
        run = find_run(uri, found.name, name=run_name(trial.number))
        with fetch(uri, run.info.run_id) as folder:
            shown[f"trial {trial.number}"] = problem.on_bank("selection", read_student(folder)[0])
    return {"leaders": student_figures.leaders(shown)} if shown else {}


def portraits(
    problem: Problem, student: nn.Module, curve: Sequence[tuple[int, float]], synthetic: Tensor | None
) -> dict[str, Figure]:
    """Figures of a student.

    Args:
        problem: problem of its study.
        student: network from raw rows to raw outputs.
        curve: points ``(step, rmse)``.
        synthetic: standardized synthetic rows ``(N, D)``; None if its recipe makes none.
    """
    teacher, answers = problem.on_bank("report", student)
    drawn = {
        "parity": student_figures.parity(teacher, answers, problem.output_names),
        "residuals": student_figures.residuals(teacher, answers),
    }
    if sum(value > 0 for _, value in curve) > 1:
        drawn["training"] = student_figures.training(curve)
    if synthetic is not None:
        declared = problem.banks["report"].z.cpu().float()
        drawn["synthetic"] = student_figures.synthetic(declared, synthetic, problem.inputs.names)
    return drawn


def note(found: Findings, params: Mapping[str, str], tags: Mapping[str, str], run: Run | None = None) -> str:
    """The note of a parent run, in Markdown.

    Args:
        found: findings of the study.
        params, tags: parameters and tags of the parent run.
        run: run of the promoted student; None without one.
    """
    name = found.name
    lines = [
        f"**{escaped(summary_text.headline(found))}**",
        "",
        f"Data-free distillation of {escaped(found.teacher)}: {escaped(params.get('features'))} features, {escaped(params.get('outputs'))} output{'s' * (params.get('outputs') != '1')}, "
        f"inputs known at tier {found.tier}; {summary_text.state_counts(found)} trials of {escaped(params.get('trial_steps'))} steps; "
        f"objective `{found.objective}`; seed {escaped(params.get('seed'))}. No real row was read.",
        "",
        "### What was found",
        *(f"- **{question}** {answer}" for question, answer in summary_text.questions(found)),
        "",
    ]
    if run is not None and found.promoted is not None:
        where = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        recipe = recipe_name(found.promoted["trial"])
        lines += [
            "### The student",
            f"Run [{escaped(run.info.run_name)}]({where}) of {recipe}: the recipe with the best mean over its seeds. "
            "Its `certificate/certificate.html` says what was measured, and what that cannot promise.",
            "",
            "### Register it",
            f"    dfkd-tune register {name} --model {name}",
            "",
        ]
        if (again := summary_text.again(tags, run)) is not None:
            lines += ["### Make it again", indent(again, "    "), ""]
    versions = json.loads(tags.get(tag.VERSIONS, "{}"))
    lines += [
        "### Find the runs",
        f"In the search field of the experiment: `tags.{tag.KIND} = '{RunKind.TRIAL}'` for all trials, "
        f"`tags.{tag.STATE} = '{State.PRUNED}'` for those that were given up, "
        f"`metrics.{found.objective} < {_limit(found)}` for good ones. "
        f"Every run of this study in any experiment: `tags.{tag.STUDY} = '{name}'`.",
        "",
        f"The whole report as a page: `dfkd-tune report {name}`. "
        f"Made with {', '.join(escaped(f'{package} {version}') for package, version in versions.items())}.",
    ]
    return "\n".join(lines)


def _limit(found: Findings) -> str:
    return f"{1.1 * found.best.values[0]:.3g}" if found.best else "1"


def _of_experiment(found: Findings, experiment_id: str) -> dict[str, str]:
    """Tags that set the experiment's page: note, saved view, and the primary metric, which the first chart shows."""
    return {
        tag.NOTE: f"{escaped(summary_text.headline(found))} The note of the run `{found.name}` tells the rest. "
        f"[The trials, best first](#/experiments/{experiment_id}/runs?viewStateShareKey={LEADERS}).",
        f"mlflow.sharedViewState.{LEADERS}": _leaders(found),
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": found.objective,
        "mlflow.experiment.primaryMetric.greaterIsBetter": "False",
    }


def _rows(uri: str, run_id: str, problem: Problem) -> Tensor | None:
    try:
        with fetch(uri, run_id, FOLDER) as folder:
            return read_synthetic(problem, folder)
    except NotFound:
        return None


def _leaders(found: Findings) -> str:
    """A saved view of the experiment's page: only trials, best first, with the main columns."""
    metrics, params = (found.objective, metric.RMSE, metric.PARAMETERS, metric.LATENCY), LEAVES
    state = {
        "searchFilter": f"tags.`{tag.KIND}` = '{RunKind.TRIAL}'",
        "orderByKey": f"metrics.`{found.objective}`",
        "orderByAsc": True,
        "selectedColumns": [*(f"metrics.`{name}`" for name in metrics), *(f"params.`{name}`" for name in params)],
    }
    now = round(1000 * time.time())
    return json.dumps({"name": "leaders", "createdAt": now, "updatedAt": now, "state": json.dumps(VIEW | state)})


def _keep(client: MlflowClient, run_id: str, drawn: Mapping[str, Figure]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, figure in drawn.items():
            (Path(folder) / f"{name}.png").write_bytes(png(figure))
        if drawn:
            client.log_artifacts(run_id, folder, FIGURES)


def _declare(client: MlflowClient, run_id: str, problem: Problem) -> None:
    """Log the declaration of the inputs as the run's dataset. It has no rows, because there are none."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = problem.inputs
    schema = {"mlflow_colspec": [{"type": "float", "name": name, "required": True} for name in inputs.names]}
    dataset = Dataset(
        name=f"declared inputs, tier {inputs.tier}",
        digest=inputs.fingerprint()[:12],
        source_type="code",
        source=json.dumps({"tags": {"declared": f"features file, its SHA-256 is the run's {tag.FEATURES_SHA256}"}}),
        schema=json.dumps(schema),
        profile=json.dumps({"num_rows": len(problem.pool), "num_elements": problem.pool.z.numel()}),
    )
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "prior")])])
