"""``tune``: what ``dfkd-tune study`` does, for a teacher in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfkd_tune.api.arguments import Arguments
from dfkd_tune.api.error_words import in_python
from dfkd_tune.api.live import View
from dfkd_tune.api.result import Result
from dfkd_tune.api.sections import sections
from dfkd_tune.errors import Interrupted
from dfkd_tune.locations import paths
from dfkd_tune.registry.sources import Sources
from dfkd_tune.reporting.failed_study import require_complete
from dfkd_tune.search.sqlite.integrity import require_intact
from dfkd_tune.study.launch import launch
from dfkd_tune.training.raw_evaluation import RawEvaluator
from dfkd_tune.utils.given.checks import COUNT, FLAG, MAPPING, PATH, TEXT, require
from dfkd_tune.utils.signals import Signals

KEPT = "teachers"
"""Folder, beside Optuna's storage, of teachers and features that were given as objects."""


def tune(
    teacher: Any,
    *,
    features: Any = None,
    max_parameters: int | None = None,
    compression: float | None = None,
    n_trials: int | None = None,
    name: str | None = None,
    seed: int | None = None,
    objective: str | None = None,
    search: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    preset: str | None = None,
    sampler: str | Mapping[str, Any] | None = None,
    pruner: str | Mapping[str, Any] | None = None,
    timeout: float | str | None = None,
    student: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
    study: Mapping[str, Any] | None = None,
    example_inputs: Any = None,
    storage: str | None = None,
    tracking_uri: str | None = None,
    workers: int | None = None,
    architecture: str | Path | None = None,
    trust_pickle: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Result:
    """Search how to distill a teacher: what ``dfkd-tune study`` does.

        result = dt.tune(model, features={"load": {"mean": 3, "std": 1}, "flow": None}, max_parameters=1151, n_trials=50, name="pump")
        result.student(rows); result.register("pump")

    The study is kept where the command line keeps it, so that ``dfkd-tune show pump``, a second call with more trials, ``sync`` and
    workers go on from it. The same call again resumes a study that was stopped.

    Args:
        teacher, features, max_parameters, compression, example_inputs: as in ``distill``. A module is kept as ``.pt2`` beside the
            storage, an estimator as ``.skops``. What no file holds, such as a lambda, is queried in this process alone.
        n_trials: number of trials in total, also after a resume (100).
        name: name of the study and its MLflow experiment; default: after the teacher.
        seed: seed of all random numbers (0); with one, every machine runs the same trials for the same ``workers``.
        objective: ``robust``, ``rmse`` or ``nrmse``, as in a study file.
        search: leaf -> choices or range, as in a study file; None for the default space.
        fixed: leaf -> value for every trial.
        preset: recipe for leaves that are neither fixed nor searched.
        sampler, pruner: names, or mappings with ``kind`` and options, as in a study file: ``{"kind": "tpe", "n_startup_trials": 20}``.
        timeout: seconds, or a duration such as ``"90s"``, ``"30m"`` or ``"2h"``, after which no trial begins; the study is then
            concluded with what is there.
        student, budget, study: these sections of a study file: ``{"kind": "rbf"}``, ``{"steps": 5000}``, ``{"reruns": 0}``. A key has one
            value, here or in an argument.
        storage, tracking_uri: URL of Optuna's storage and MLflow tracking URI; default: ``mlruns/``, or ``MLFLOW_TRACKING_URI``.
        workers: number of processes; default: as many as pay on this machine. With a seed also the groups of a round (2).
        architecture, trust_pickle, device: as in ``distill``.
        progress: whether to show a live table in a notebook or terminal.

    Returns:
        The ``Result`` of the study.

    Raises:
        DfkdError: in one line, before any trial if an argument is not valid.
        StudyFailed: no trial completed; ``load_result`` reads what the study recorded.
        KeyboardInterrupt: if the user stopped the study; everything is recorded.
    """
    require(
        "tune",
        {
            "fixed": (fixed, MAPPING),
            "study": (study, MAPPING),
            "student": (student, MAPPING),
            "budget": (budget, MAPPING),
            "storage": (storage, TEXT),
            "tracking_uri": (tracking_uri, TEXT),
            "workers": (workers, COUNT),
            "architecture": (architecture, PATH),
            "trust_pickle": (trust_pickle, FLAG),
            "device": (device, TEXT),
            "progress": (progress, FLAG),
        },
        "device",
    )
    arguments = {
        "study.name": name,
        "study.trials": n_trials,
        "study.seed": seed,
        "study.objective": objective,
        "study.timeout": timeout,
        "student.max_parameters": max_parameters,
        "student.compression": compression,
        "preset": preset,
        "sampler": sampler,
        "pruner": pruner,
        "search": search,
    }
    given = sections("tune", {"study": study, "student": student, "budget": budget}, arguments, fixed)
    with in_python("tune"), View.opened(progress) as view:
        storage_url, uri = paths.optuna_url(storage), paths.tracking_url(tracking_uri)
        require_intact(storage_url)  # before the first teacher query
        folder = paths.shared_folder(storage_url, KEPT)
        about = (teacher, features, example_inputs, given, architecture, trust_pickle, device, folder)
        call = Arguments("tune", *about, storage_url, uri, workers)
        prepared, kept = call.prepared()
        study_name = prepared.spec.name
        try:
            with Signals() as stop, view.watching(study_name) as on_progress:
                run = launch(prepared, storage_url, uri, workers, None, trust_pickle, on_progress, lambda: bool(stop))
        except Interrupted:
            raise KeyboardInterrupt(f"study {study_name!r} was stopped; the same call goes on from here") from None
        require_complete(run)
    about = prepared.spec
    evaluator = None
    if about.budget.total_queries is None:
        evaluator = RawEvaluator(prepared.teacher, prepared.inputs, about.study.seed, about.budget.bank)
    held = Sources(held=prepared.teacher) if prepared.in_memory else Sources(None, None, None, trust_pickle)
    return Result(study_name, storage_url, uri, evaluator, kept.reason, held)


def load_result(
    name: str,
    *,
    storage: str | None = None,
    tracking_uri: str | None = None,
    teacher: str | Path | None = None,
    features: str | Path | None = None,
    architecture: str | Path | None = None,
    trust_pickle: bool = False,
) -> Result:
    """The ``Result`` of a recorded study, also of one that was run in a terminal or is still running.

        dt.load_result("pump").student

    Args:
        name: name of the study.
        storage, tracking_uri: as in ``tune``.
        teacher, features, architecture: where these files are now, if they have moved. A teacher that no file holds is given by
            the call of ``tune`` that made the study: it returns the result of a study that is done.
        trust_pickle: as in ``distill``.

    Raises:
        NotFound: there is no such study.
        DfkdError: a store cannot be read.
    """
    paths_given = {"teacher": (teacher, PATH), "features": (features, PATH), "architecture": (architecture, PATH)}
    texts = {"name": (name, TEXT), "storage": (storage, TEXT), "tracking_uri": (tracking_uri, TEXT)}
    require("load_result", {**texts, **paths_given, "trust_pickle": (trust_pickle, FLAG)}, "name")
    with in_python("load_result"):
        sources = Sources(_path(teacher), _path(architecture), _path(features), trust_pickle)
        result = Result(name, paths.optuna_url(storage), paths.tracking_url(tracking_uri), sources=sources)
        result.study  # noqa: B018  # raises if there is none
        return result


def _path(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
