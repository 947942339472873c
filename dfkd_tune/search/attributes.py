"""Attributes of an Optuna study: their names, each declared here alone."""

from __future__ import annotations

PROMOTED = "promoted"
"""Study attribute: the student that the study ended with, a ``Promoted`` as plain values."""
RECORD = "reruns"
"""Study attribute: trial or ``baseline`` -> run name -> ``[objective, rmse]``, or None for a re-run that diverged."""
BASELINE = "baseline"
"""The run of the untuned preset, and its key on record; as a study attribute, its objective."""
UNTUNED = "untuned"
"""Study attribute: what a trial has as attributes, of the baseline."""
SPEC, HOST, TRACKING = "spec", "host", "tracking"
"""Study attributes: the study file's plain values, the machine where it was last started, its MLflow without credentials."""
TOGETHER, WORKERS = "population", "workers"
"""Study attributes: trials that train at once, which a resume keeps unless its study file says otherwise; processes at its last start."""

SESSION_COUNT = "sessions"
"""Study attribute: how many sessions ever worked on it."""
