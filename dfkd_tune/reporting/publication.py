"""Publish a finished study where its users look: certificate, logged models and summary in MLflow, notes and files in Optuna.

Every part is written once. A part that fails is only logged, because the study itself is complete; ``sync`` publishes it later.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from dfkd_tune.errors import DfkdError
from dfkd_tune.registry import logged_models, register
from dfkd_tune.reporting import mlflow_summary, summary_text
from dfkd_tune.reporting.findings import find
from dfkd_tune.search import dashboard
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.ranking import Promoted, Smallest
from dfkd_tune.search.storage import PatientStorage
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.rmse_words import of_outputs

LOG = logging.getLogger(__name__)


def publish(
    uri: str,
    storage: PatientStorage,
    study: optuna.Study,
    parent: str | None,
    problem: Problem,
    leading: Sequence[Promoted],
) -> dict[str, Any] | None:
    """Publish a study.

    Args:
        uri: MLflow tracking URI.
        storage, study: Optuna's storage and study.
        parent: id of the study's parent run; None if MLflow is down.
        problem: problem of the study.
        leading: best student of each leading recipe, the promoted one first.

    Returns:
        the certificate of the promoted student; None if there is none.
    """
    promoted, certificate, name = next(iter(leading), None), None, study.study_name
    if parent is not None and promoted is not None:
        certificate = register.certify_run(uri, name, promoted.run, problem, size_of(study))
        logged_models.log_leaders(uri, name, [each.run for each in leading])
    mlflow_summary.log_study_summary(uri, study, parent, problem, promoted)
    show_in_optuna(uri if parent is not None else None, storage, study, leading)
    return certificate


def size_of(study: optuna.Study) -> str | None:
    """Why the promoted student of a study has its size; None unless the study looked for the smallest one.

    Args:
        study: the recorded study; its promoted student is that of the recipe that was pruned.
    """
    found = StudyRecord.of(study).smallest
    return None if found is None else summary_text.smallest_in_words(Smallest.of(found))


def summary_of(certificate: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a finished study tells of its promoted student on the report bank: ``report``, its RMSE, and ``by_output`` of several."""
    report = None if certificate is None else certificate["report"]["rmse"]
    return {"report": report, "by_output": {} if certificate is None else of_outputs(certificate)}


def show_in_optuna(uri: str | None, storage: PatientStorage, study: optuna.Study, leading: Sequence[Promoted]) -> None:
    """Write notes of a study and its leading trials for optuna-dashboard, and their students as artifacts.

    Args:
        uri: MLflow tracking URI, from which the students are; None writes only notes.
        storage, study: Optuna's storage and study.
        leading: best student of each leading recipe, the promoted one first.
    """
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    try:
        dashboard.save_note(study, storage, study_note(study, leading))
        for place, student in enumerate(leading):
            trial = trials.get(student.trial) if student.trial is not None else None
            if trial is not None:
                dashboard.save_note(study, storage, trial_note(study.study_name, student, promoted=not place), trial)
            if uri is None:
                continue
            if trial is not None:
                _keep_files(uri, storage, study, student, trial)
            if not place:
                _keep_files(uri, storage, study, student, None)
    except (DfkdError, OSError) as error:
        LOG.warning("the notes and files of study %s for Optuna are incomplete: %s", study.study_name, error)


def study_note(study: optuna.Study, leading: Sequence[Promoted]) -> str:
    """The note of a study on Optuna's side, in Markdown."""
    found, name = find(study), study.study_name
    lines = [f"**{mlflow_summary.escaped(summary_text.headline(found))}**", ""]
    lines += [f"- **{question}** {answer}" for question, answer in summary_text.questions(found)]
    if leading:
        run = leading[0].run
        lines += ["", f"The promoted student is run `{run}` of the MLflow experiment `{name}`. Register it:"]
        lines += ["", f"    dfkd-tune register {name} --model {name}"]
    return "\n".join(lines)


def trial_note(study: str, student: Promoted, promoted: bool) -> str:
    """The note of a leading trial on Optuna's side, in Markdown."""
    what = "The promoted student of the study" if promoted else "The best student of this recipe"
    return "\n".join(
        [
            f"{what} is run `{student.run}` of the MLflow experiment `{study}`: "
            f"RMSE {student.rmse:.4g} against the teacher on the selection bank, objective {student.objective:.4g}, "
            f"mean over the recipe's seeds {student.mean:.4g}.",
            "",
            f"    dfkd-tune register {study} --model {study}" + ("" if promoted else f" --trial {student.trial}"),
        ]
    )


def _keep_files(
    uri: str, storage: PatientStorage, study: optuna.Study, student: Promoted, trial: FrozenTrial | None
) -> None:
    """Keep the student's exported network, and its certificate if there is one, as artifacts of the study or a trial."""
    known = dashboard.artifact_names(study, storage, trial)
    wanted = {kind: f"{student.run}{suffix}" for kind, suffix in logged_models.FILES.items()}
    if known >= set(wanted.values()):
        return
    with tempfile.TemporaryDirectory() as folder:
        for kind, file in logged_models.fetch_files(uri, study.study_name, student.run, Path(folder)).items():
            if wanted[kind] not in known:
                dashboard.add_artifact(study, storage, storage.url, file.rename(file.with_name(wanted[kind])), trial)
