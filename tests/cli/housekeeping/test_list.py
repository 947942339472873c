"""``list``: the studies of a storage, the last changed first."""

import json

import optuna
import pytest
from asked import assert_refused, files_of

pytestmark = pytest.mark.usefixtures("undrawn")


def test_list(dfkd, two, tmp_path):
    ended = dfkd("list", cwd=two.home)
    head, first, second = ended.out.splitlines()
    assert ended.status == 0 and head.split() == ["study", "teacher", "trials", "best", "trial", "tier", "changed"]
    assert first.startswith("valve") and second.startswith("pump")
    assert "teacher.safetensors" in first and "robust" in first and "T0" in first
    plain = json.loads(dfkd("list", "--json", cwd=two.home).out)
    assert [study["name"] for study in plain] == ["valve", "pump"]
    assert sum(plain[0]["trials"].values()) == plain[0]["total"] == 3
    assert_refused(dfkd("list", cwd=tmp_path), "there is no", "optuna.db")
    assert files_of(tmp_path) == set()


def test_a_name_of_another_program_writes_nothing_but_its_letters(dfkd, tmp_path):
    """A storage may be shared, and Optuna takes any name: line breaks and the sequences of terminals, too."""
    url = f"sqlite:///{tmp_path}/shared.db"
    for name in ("two\nlines", "\x1b[31mred", "[bold]plain[/]"):
        optuna.create_study(study_name=name, storage=url)
    ended = dfkd("list", "--storage", url, cwd=tmp_path)
    assert ended.status == 0 and "\x1b" not in ended.out and len(ended.out.splitlines()) == 4
    assert all(shown in ended.out for shown in ("two\\nlines", "\\x1b[31mred", "[bold]plain[/]"))
