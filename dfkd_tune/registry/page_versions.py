"""Versions that were made by *Register model* in MLflow's pages: they get what ``register`` writes of its own versions."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dfkd_tune.errors import DfkdError
from dfkd_tune.export.student_files import read_student
from dfkd_tune.registry.logged_models import log_model
from dfkd_tune.registry.register import certified
from dfkd_tune.registry.version_record import describe_version, figures, link_back
from dfkd_tune.registry.versions import is_typed, made_of, models_of, undescribed
from dfkd_tune.tracking import tags as tag
from dfkd_tune.tracking.connection import guarded, open_client, quiet, single_attempt
from dfkd_tune.tracking.run_lookup import fetch
from dfkd_tune.training.problem import Problem

LOG = logging.getLogger(__name__)


def describe_missing(uri: str, study: str, problem: Callable[[], Problem]) -> int:
    """Describe the versions of a study that were made in MLflow's pages; returns how many.

    Each gets tags, description, links and a certificate. Without its teacher it gets no certificate, which is logged.

    Args:
        uri: MLflow tracking URI.
        study: name of the study.
        problem: returns the study's problem; called only for a student without a certificate.
    """
    done = 0
    with single_attempt(uri), guarded(uri), quiet():
        client = open_client(uri)
        for version in undescribed(client, study):
            assert version.run_id is not None  # of those that are found
            run = client.get_run(version.run_id)
            try:
                certificate = certified(uri, study, run, problem)
            except DfkdError as error:
                LOG.warning("%s version %s has no certificate yet: %s", version.name, version.version, error)
                certificate = None
            run = client.get_run(version.run_id)
            with fetch(uri, version.run_id) as folder:
                student, result = read_student(folder, run.data.tags.get(tag.STUDENT_SHA256))
            typed = any(is_typed(each) and made_of(version, each) for each in models_of(client, run))
            log_model(client, uri, run, student, result, study, typed)
            describe_version(client, version, study, run, result, figures(certificate), typed)
            link_back(client, run)
            done += 1
    return done
