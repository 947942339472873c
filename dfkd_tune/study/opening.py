"""Open a study: check that an existing one matches the requested one, and record what joining workers need."""

from __future__ import annotations

import json
import logging
import socket
import time
from pathlib import Path

import optuna

from dfkd_tune.errors import StorageError, StudyMismatch
from dfkd_tune.locations.paths import sqlite_file, store_of, without_credentials
from dfkd_tune.search.attributes import (
    DEADLINE,
    DECLARED,
    GROUPS,
    HOST,
    IDENTITY,
    POOL,
    POOL_GRADIENTS,
    POPULATION,
    SPEC,
    STARTED,
    TEACHER,
    TIER,
    TRACKING,
    WORKERS,
    StudyRecord,
)
from dfkd_tune.search.dashboard import name_objectives
from dfkd_tune.search.locks import exclusive
from dfkd_tune.search.optuna_kinds import AUTO
from dfkd_tune.search.sampling import begin_session, open_study, without_experimental_warnings
from dfkd_tune.search.storage import open_storage
from dfkd_tune.search.study_file import StudySpec
from dfkd_tune.search.trial_queue import TrialQueue, host_of
from dfkd_tune.study.agreement.differences import FREE_SECTIONS, declared_in, difference, tree_of
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking import tracker
from dfkd_tune.utils.quoting import quoted

LOG = logging.getLogger(__name__)


def require_stores(spec: StudySpec, storage_url: str, tracking_uri: str) -> None:
    """Refuse stores that cannot record a study with a total, before its teacher is asked; raises as ``run_study`` does."""
    if spec.budget.total_queries is not None:
        _require_two(storage_url, tracking_uri)
        tracker.reachable(tracking_uri, storage_url, spec.name)


def _require_two(storage_url: str, tracking_uri: str) -> None:
    if store_of(storage_url) == store_of(tracking_uri):
        shown = without_credentials(storage_url)
        raise StorageError(shown, "cannot be Optuna's and MLflow's database at once", remedy="give each its own")


def open_queue(
    prepared: Prepared, storage_url: str, tracking_uri: str, joining: bool = False, workers: int = 1
) -> tuple[optuna.Study, TrialQueue]:
    """Open or create a study and its trial queue for ``workers`` processes; otherwise arguments and errors are as in ``run_study``."""
    _require_two(storage_url, tracking_uri)
    if not joining:
        hashes = {k: v for k, v in prepared.tags().items() if k in (tag.TEACHER_SHA256, tag.FEATURES_SHA256)}
        tracker.ready(tracking_uri, storage_url, prepared.spec.name, hashes)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec, about, storage = prepared.spec, prepared.spec.study, open_storage(storage_url)
    with without_experimental_warnings(), exclusive(storage, storage_url):
        study = open_study(storage, prepared.spec.name, about.seed, 2 if about.pareto else 1, spec.sampler, spec.pruner)
        queue = TrialQueue(study, storage, prepared.space.initial_points())
        one_machine(queue, storage_url)
        agree(study, prepared)
        begin_session(study)
        name_objectives(study, storage, [about.objective, *([about.pareto] if about.pareto else [])])
        if not joining:
            record(study, prepared, tracking_uri, workers)
        queue.make(about.trials)
    return study, queue


def agree(study: optuna.Study, prepared: Prepared) -> None:
    """Record the identity of a new study; raise ``StudyMismatch`` if a different study has this name."""
    mine = json.loads(json.dumps(prepared.identity()))
    on_record = StudyRecord.of(study)
    if not on_record.identity:
        if prepared.total is None:
            study.set_user_attr(POOL, prepared.sizes.pool)
            study.set_user_attr(POOL_GRADIENTS, prepared.sizes.gradients)
        study.set_user_attr(TEACHER, Path(prepared.spec.teacher.path).name)
        study.set_user_attr(TIER, prepared.inputs.tier)
        if declared := declared_in(prepared.spec):
            study.set_user_attr(DECLARED, declared)
        if prepared.total is not None:
            prepared.total.settle()
        study.set_user_attr(IDENTITY, mine)  # last, because it marks the others as complete
    elif on_record.identity != mine:
        settings = (on_record.spec, tree_of(prepared.spec), on_record.declared, declared_in(prepared.spec))
        raise StudyMismatch(
            f"study {prepared.spec.name!r}",
            f"exists with another {difference(on_record.identity, mine, *settings)}",
            remedy="give --name for a new study, or restore what changed",
        )
    on_record = StudyRecord.of(study)
    if prepared.spec.budget.pool not in (None, on_record.pool):
        raise StudyMismatch(
            f"study {prepared.spec.name!r}",
            f"exists with budget.pool {on_record.pool}",
            remedy="give --name for a new study",
        )
    if prepared.total is not None:
        prepared.total.settle()
    if on_record.population is None or prepared.spec.study.population not in (None, on_record.population):
        study.set_user_attr(POPULATION, prepared.population)


def record(study: optuna.Study, prepared: Prepared, tracking_uri: str, workers: int) -> None:
    """Record what a worker needs to join: the study file with absolute paths and without credentials."""
    tree, timeout = tree_of(prepared.spec), prepared.spec.study.timeout
    for section, before in ((name, (StudyRecord.of(study).spec or tree).get(name, AUTO)) for name in FREE_SECTIONS):
        if before != (now := tree.get(section, AUTO)):
            change = (study.study_name, section, quoted(before), quoted(now))
            LOG.warning("study %s: the %s was %s, and is %s from now on", *change)
    for name, value in {
        SPEC: tree,
        DEADLINE: None if timeout is None else time.time() + timeout,
        HOST: socket.gethostname(),
        TRACKING: without_credentials(tracking_uri),
        WORKERS: workers,
        STARTED: StudyRecord.of(study).sessions,
        GROUPS: prepared.groups_of(StudyRecord.of(study).groups),
    }.items():
        if study.user_attrs.get(name) != value:
            study.set_user_attr(name, value)


def one_machine(queue: TrialQueue, storage_url: str) -> None:
    """Refuse an SQLite file that a worker on another machine uses.

    Raises:
        StorageError: if there is such a worker; the message names its machine.
    """
    elsewhere = {host_of(owner) for owner in queue.owners()} - {socket.gethostname(), ""}
    if sqlite_file(storage_url) is not None and elsewhere:
        raise StorageError(
            without_credentials(storage_url),
            f"is used by a worker on {min(elsewhere)}, and SQLite cannot be shared between machines",
            remedy="stop that worker (a dead one counts as gone after 3 minutes), or keep the study in PostgreSQL",
        )
