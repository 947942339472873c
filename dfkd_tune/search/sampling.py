"""How Optuna searches: the study, its sampler and its pruner."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.study import StudyDirection
from optuna.trial import TrialState

from dfkd_tune.search.attributes import SESSIONS, StudyRecord
from dfkd_tune.search.foreign import refuse_foreign
from dfkd_tune.search.optuna_kinds import Choice, pruner, sampler
from dfkd_tune.search.storage import PatientStorage
from dfkd_tune.utils.seeding import derive


def open_study(
    storage: PatientStorage,
    name: str,
    seed: int,
    objectives: int = 1,
    sampling: Choice = Choice(),  # noqa: B008  # frozen
    pruning: Choice = Choice(),  # noqa: B008
) -> optuna.Study:
    """Create or load an Optuna study. The caller holds its lock. With several objectives no trial is pruned.

    The sampler's seed depends on the number of trials and sessions, so that a resumed session or a second worker does
    not repeat earlier samples.

    Raises:
        StudyMismatch: another program made a study of that name.
    """
    about = {
        "storage": storage,
        "study_name": name,
        "pruner": pruner(pruning) if objectives == 1 else optuna.pruners.NopPruner(),
    }
    try:
        study = optuna.load_study(**about)
    except KeyError:
        study = optuna.create_study(**about, directions=[StudyDirection.MINIMIZE] * objectives, load_if_exists=True)
        if SESSIONS not in study.user_attrs:
            study.set_user_attr(SESSIONS, 0)  # marks it as this program's
    else:
        refuse_foreign(study, storage.url)
    sessions = StudyRecord.of(study).sessions
    known = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
    study.sampler = sampler(sampling, derive(seed, "sampler", known, *([sessions] if sessions else [])))
    return study


def begin_session(study: optuna.Study) -> None:
    """Count a session of a study whose settings were agreed, so that the next one samples otherwise. The caller holds its lock."""
    study.set_user_attr(SESSIONS, StudyRecord.of(study).sessions + 1)


def smoothed(curve: list[tuple[int, float]]) -> float:
    """The value reported to the pruner: the mean of the last three points of a curve of ``(step, RMSE)``."""
    tail = [value for _, value in curve[-3:]]
    return sum(tail) / len(tail)


@contextmanager
def without_experimental_warnings() -> Iterator[None]:
    """Silence Optuna's warnings about experimental features, heartbeats outside ``optimize`` and repeated steps."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage")
        warnings.filterwarnings("ignore", message="The reported value is ignored")
        yield
