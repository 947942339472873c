"""The file of a storage is one that Optuna made, or will make; it is not opened otherwise."""

import contextlib
import sqlite3

import optuna
from asked import fails, files_of

from dfkd_tune.errors import StorageError
from dfkd_tune.search.sqlite.integrity import require_intact


def test_a_storage_of_optuna_and_a_new_one_are_taken(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    require_intact(url)
    assert files_of(tmp_path) == set()
    optuna.storages.RDBStorage(url).engine.dispose()
    require_intact(url)
    require_intact("postgresql://nowhere.example/x")  # looked at when it is opened


def test_what_another_program_made_or_damaged_is_told(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER)")
        connection.commit()
    (tmp_path / "text.db").write_text("some text\n" * 500)
    for name, words in (
        ("theirs.db", ["is a database of another program"]),
        ("text.db", ["is damaged", "put a copy of it back, or start anew with another --storage and --name"]),
    ):
        with fails(tmp_path / name, *words, kind=StorageError):
            require_intact(f"sqlite:///{tmp_path}/{name}")
