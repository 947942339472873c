"""Private parts of Optuna are there: tables, methods that are overridden, IDs and caches."""

import inspect

import optuna
from optuna.storages import RDBStorage
from private_parts import require
from sqlalchemy.orm import configure_mappers

from dfkd_tune.compat import optuna as optuna_private


def test_tables_of_optuna():
    configure_mappers()  # what one table refers to another by is there only then
    for table, columns in optuna_private.COLUMNS.items():
        for name in (*columns, *optuna_private.FINDERS.get(table, ())):
            require(table, name, f"optuna.storages._rdb.models.{table.__name__}")


def test_methods_of_optunas_storage():
    for name in (*optuna_private.REPEATED, "_set_trial_value_without_commit"):
        require(RDBStorage, name, "optuna.storages.RDBStorage")
    for name, arguments in optuna_private.OVERRIDDEN.items():
        taken = tuple(inspect.signature(require(RDBStorage, name, "optuna.storages.RDBStorage")).parameters)
        assert taken[1:] == arguments, f"optuna {optuna.__version__}: RDBStorage.{name} takes other arguments"


def test_ids_and_caches_of_optuna(tmp_path):
    storage = RDBStorage(f"sqlite:///{tmp_path}/optuna.db", heartbeat_interval=60, grace_period=120)
    study = optuna.create_study(storage=storage)
    study.enqueue_trial({"x": 0.5})
    trial = study.ask()
    require(study, "_study_id", "optuna.study.Study")
    require(trial, "_trial_id", "optuna.trial.Trial")
    cache = require(study, "_thread_local", "optuna.study.Study")
    require(cache, "cached_all_trials", "optuna.study.Study._thread_local")
    assert optuna_private.study_id(study) == 1 and optuna_private.trial_ids([trial]) == [optuna_private.trial_id(trial)]
    assert optuna_private.stale_trial_ids(storage, study) == set()
    fixed = study.get_trials()[0].system_attrs
    assert optuna_private.FIXED_PARAMS in fixed, f"optuna {optuna.__version__} keeps enqueued parameters elsewhere"
    with optuna_private.transaction(storage) as session:
        row = optuna_private.TRIALS.find_or_raise_by_id(optuna_private.trial_id(trial), session)
        optuna_private.set_trial_value(storage, session, row, 0, 0.25)
    optuna_private.forget_cached_trials(study)
    assert storage.get_trial(optuna_private.trial_id(trial)).values == [0.25]
