"""Optuna makes the tables that are read here, and opened without its migrations."""

from optuna.storages import RDBStorage

from dfkd_tune.compat import optuna as optuna_private
from dfkd_tune.compat import optuna_tables


def test_optuna_makes_the_tables_that_are_opened_without_migrations(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    storage = RDBStorage(url)
    assert storage.get_head_version() == storage.get_current_version() == optuna_tables.NEWEST
    assert len(storage.get_all_versions()) == optuna_tables.MIGRATIONS and optuna_tables.makes_known_tables()
    manager = type(storage._version_manager)
    with optuna_private.with_known_tables():
        assert RDBStorage(url, skip_compatibility_check=False).get_all_studies() == []
    assert type(RDBStorage(url)._version_manager) is manager
