"""Certify recorded students, from the files of their runs and a problem rebuilt from the parent run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dfkd_tune.errors import ExportError, NotFound, StudyMismatch, TeacherError
from dfkd_tune.evaluation.certificate import Certificate, certify
from dfkd_tune.evaluation.certificate_page import page
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.export.student_files import read_student
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.locations.files import write_output
from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.registry.certificate_files import HTML, JSON
from dfkd_tune.registry.sources import Sources
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.teachers.sources import is_file
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.training import metrics as metric
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.raw_evaluation import ExportedStudent, RawEvaluator, agree_by_output
from dfkd_tune.utils import yaml_io


def issue(problem: Problem, folder: Path, about: Mapping[str, Any]) -> Certificate:
    """Certify the student whose files are in a directory.

    Args:
        problem: problem of its study.
        folder: directory with the files of ``export.student_files``.
        about: study, trial and run.

    Raises:
        ExportError: if the files are damaged, or an output is not finite.
    """
    module, result = read_student(folder)
    units = InputSchema.of(result)
    student = units.student(units.flat(units.drop_in(module)), int(result[metric.PARAMETERS]))
    theirs, ours = problem.held("selection", student)
    exported = float((ours - theirs).square().mean().sqrt())
    agree_by_output(folder.name, theirs, ours, metric.by_output(result), problem.inputs, problem.teacher.source)
    recipe = yaml_io.read(folder / "recipe.yaml", ExportError)
    facts = {
        **about,
        "student_seed": result.get("seed"),
        **({"pruned_from": result["pruned_from"]} if "pruned_from" in result else {}),
        "trained_rmse": result[metric.RMSE],
        "exported_rmse": exported,
        "file_sha256": hash_bytes((folder / "student.safetensors").read_bytes()),
        "steps": recipe.get("steps"),
        "batch": recipe.get("batch"),
        "training_rows": int(result[metric.TEACHER_ROWS]) if metric.TEACHER_ROWS in result else None,
        "issued": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return certify(problem, student, facts)


def write(certificate: Certificate, folder: Path) -> None:
    """Write ``certificate.json`` and ``certificate.html`` into a directory."""
    (folder / JSON).write_text(json.dumps(certificate.as_dict(), indent=1), encoding="utf-8")
    (folder / HTML).write_text(page(certificate), encoding="utf-8")


def beside(file: Path, problem: Problem, student: ExportedStudent, about: Mapping[str, Any]) -> Certificate:
    """Certify an exported file; writes ``FILE.certificate.json`` and ``FILE.certificate.html`` beside it.

    Raises:
        ExportError: if an output is not finite, or the files cannot be written.
    """
    facts = {"file_sha256": hash_bytes(file.read_bytes()), "issued": datetime.now(UTC).isoformat(timespec="seconds")}
    certificate = certify(problem, student, {**about, **facts})
    write_output(file.with_name(f"{file.name}.certificate.json"), json.dumps(certificate.as_dict(), indent=1).encode())
    write_output(file.with_name(f"{file.name}.certificate.html"), page(certificate).encode())
    return certificate


def rebuild_problem(
    study: str,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    sources: Sources,
    purpose: str = "a certificate",
    device: str = "cpu",
) -> Problem:
    """Rebuild the problem of a study from its parent run; teacher and inputs must be the recorded ones.

    Args:
        study: name of the study.
        params, tags: parameters and tags of its parent run.
        sources: current paths of teacher and features, if they have moved.
        purpose: what needs the problem, for error messages.
        device: device of the computation.

    Raises:
        NotFound: if a file is missing, or its path was not recorded.
        StudyMismatch: if a file differs from the recorded one.
        DfkdError: if a file is invalid.
    """
    _require_free_rows(study, tags, purpose)
    teacher, inputs = load_sources(study, tags, sources, purpose)
    seed = int(params[param.SEED])
    return Problem(
        teacher,
        inputs,
        probe(teacher, inputs, seed),
        seed=seed,
        pool_rows=int(params[param.POOL]),
        gradients=params.get(param.POOL_GRADIENTS) != "False",
        bank_rows=int(params[param.BANK]),
        device=device,
    )


def rebuild_evaluator(
    study: str, params: Mapping[str, str], tags: Mapping[str, str], sources: Sources, purpose: str
) -> RawEvaluator:
    """Rebuild a study's evaluator, that is its teacher and banks; arguments and errors are those of ``rebuild_problem``."""
    _require_free_rows(study, tags, purpose)
    teacher, inputs = load_sources(study, tags, sources, purpose)
    return RawEvaluator(teacher, inputs, int(params[param.SEED]), int(params[param.BANK]))


def _require_free_rows(study: str, tags: Mapping[str, str], purpose: str) -> None:
    """Refuse to ask the teacher of a study whose queries are counted, beside the study itself."""
    if (total := tags.get(tag.TOTAL_QUERIES)) is not None:
        rule = f"{purpose} would ask its teacher, whose rows are counted (total_queries {total})"
        raise NotFound(
            f"study {study!r}",
            rule,
            remedy="the certificate of its promoted student, which needs no further row, says how exact that is",
        )


def load_sources(study: str, tags: Mapping[str, str], sources: Sources, purpose: str) -> tuple[Teacher, Inputs]:
    """Teacher and inputs of a study, which must be the recorded ones; arguments and errors are those of ``rebuild_problem``."""
    place = f"study {study!r}"
    source = _found(place, purpose, "teacher", sources.teacher or tags.get(tag.TEACHER))
    drawn = sources.architecture or tags.get(tag.ARCHITECTURE)
    architecture = Path(_found(place, purpose, "architecture", drawn)) if drawn else None
    try:
        teacher = sources.held or load_teacher(source, architecture, sources.trust_pickle)
    except TeacherError as error:
        rule = f"{error.rule} ({purpose} needs the teacher)"
        raise TeacherError(error.place, rule, remedy=error.remedy or "give --teacher PATH") from None
    _same(place, f"teacher {source}", teacher.sha256, tags.get(tag.TEACHER_SHA256), "--teacher PATH")
    declared = sources.features or tags.get(tag.FEATURES)
    file = Path(_found(place, purpose, "features", declared)) if declared else None
    teacher, inputs = with_inputs(teacher, file)
    what = f"features {declared}" if declared else "knowledge of the inputs"
    _same(place, what, inputs.fingerprint(), tags.get(tag.FEATURES_SHA256), "--features PATH")
    return teacher, inputs


def _found(place: str, purpose: str, what: str, path: str | None) -> str:
    remedy = f"give --{what} PATH"
    if path is None:
        raise NotFound(place, f"does not say where its {what} is, which {purpose} needs", remedy=remedy)
    if (what != "teacher" or is_file(path)) and not Path(path).exists():
        raise NotFound(place, f"{purpose} needs its {what}, but there is no {path}", remedy=remedy)
    return path


def _same(place: str, what: str, found: str, recorded: str | None, option: str) -> None:
    if recorded is not None and found != recorded:
        rule = f"{what} is not what it was made with: SHA-256 {found[:12]}..., recorded {recorded[:12]}..."
        raise StudyMismatch(place, rule, remedy=f"give {option} of the original")
