"""An SQLite file is looked at before it is opened, and a read-only one is read from a copy that is as it is now."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from asked import fails, files_of

from dfkd_tune.errors import StorageError
from dfkd_tune.locations.paths import sqlite_file
from dfkd_tune.locations.sqlite_files import check, damage, readable, rows_of, text_of


def write(file: Path, value: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS studies (name TEXT)")
        connection.execute("DELETE FROM studies")
        connection.execute("INSERT INTO studies VALUES (?)", (value,))
        connection.commit()


@pytest.fixture
def file(tmp_path) -> Path:
    write(tmp_path / "x.db", "first")
    return tmp_path / "x.db"


def require(file: Path, own: str = "studies") -> None:
    check(f"sqlite:///{file}", StorageError, "put it back", lambda tables: own in tables)


def test_what_is_sound_or_not_there_passes_and_nothing_is_written(file, tmp_path):
    before = files_of(tmp_path)
    require(file)
    require(tmp_path / "none.db")
    (tmp_path / "empty.db").touch()  # as SQLite makes one, before there are tables
    require(tmp_path / "empty.db")
    assert files_of(tmp_path) == before | {"empty.db"}


def test_what_is_no_database_of_ours_is_told(file, tmp_path):
    (tmp_path / "text.db").write_text("not a database" * 100)
    (tmp_path / "folder.db").mkdir()
    for name, words in (
        ("text.db", "is damaged: file is not a database; put it back"),
        ("folder.db", f"is a directory; write sqlite:///{tmp_path}/folder.db/some.db"),
    ):
        with fails(tmp_path / name, words, kind=StorageError):
            require(tmp_path / name)
    with fails(file, "is a database of another program", kind=StorageError):
        require(file, own="runs")


def test_damage_that_comes_later_is_found(file):
    require(file)
    data = file.read_bytes()
    file.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    assert damage(file)
    with fails(file, "is damaged", kind=StorageError):
        require(file)


def test_a_copy_is_as_the_file_is_now(file):
    """Also what another process has written to the log beside the file."""

    def seen() -> str | None:
        return text_of(sqlite_file(readable(url)), "SELECT name FROM studies")

    url = f"sqlite:///file:{file}?mode=ro&uri=true"
    assert readable(f"sqlite:///{file}") == f"sqlite:///{file}"
    assert sqlite_file(readable(url)) != file and readable(url) == readable(url)
    assert seen() == "first"
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        write(file, "second, and longer")
        assert seen() == "second, and longer"
    assert text_of(None, "SELECT 1") is None and text_of(file, "SELECT name FROM nothing") is None


def test_rows_are_found_by_values_and_unknown_where_they_cannot_be_read(file, tmp_path):
    query = "SELECT name FROM studies WHERE name = ?"
    assert rows_of(file, query, "first") == [("first",)] and rows_of(file, query, "second") == []
    (text := tmp_path / "text.db").write_text("no database, but long enough to be read as one" * 20)
    assert rows_of(text, query, "first") is None and rows_of(tmp_path / "gone.db", query, "first") is None
    assert not (tmp_path / "gone.db").exists()
