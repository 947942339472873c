"""Where the teacher of costly rows writes down what it is asked."""

import pytest
from costly import LOG


@pytest.fixture
def log(tmp_path, monkeypatch):
    file = tmp_path / "asked.txt"
    monkeypatch.setenv(LOG, str(file))
    return file
