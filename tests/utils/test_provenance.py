"""What a run says of its making."""

import importlib.metadata
import json
import subprocess

import pytest

from dfkd_tune.utils.provenance import PACKAGES, git_state, provenance


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "teacher.py").write_text("x = 1\n")
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_state_of_a_repository(repository):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True)
    commit = head.stdout.strip()
    below = repository / "studies"
    below.mkdir()
    (below / "notes").write_text("not tracked\n")
    assert git_state(repository) == git_state(below) == commit
    (repository / "teacher.py").write_text("x = 2\n")
    assert git_state(below) == f"{commit} with uncommitted changes"


def test_no_repository_and_no_git_are_no_fault(repository, tmp_path_factory, monkeypatch):
    assert git_state(tmp_path_factory.mktemp("elsewhere")) is None
    monkeypatch.setenv("PATH", "")
    assert git_state(repository) is None


def test_every_run_says_what_it_was_made_with(store, finished):
    for run in store.runs("finished"):
        versions = json.loads(run.data.tags["dfkd.versions"])
        assert versions.keys() == {*PACKAGES, "python"}
        assert versions["torch"] == importlib.metadata.version("torch")
    (parent,) = store.runs("finished", "study")
    assert parent.data.params["seed"] == "0"
    assert all(len(parent.data.tags[f"dfkd.{what}_sha256"]) == 64 for what in ("teacher", "features"))


def test_a_repository_runs_nothing_when_it_is_looked_at(repository):
    """A program that a repository names for watching files would run with the user's rights."""
    subprocess.run(["git", "config", "core.fsmonitor", "touch ran; false"], cwd=repository, check=True)
    assert git_state(repository) is not None
    assert not (repository / "ran").exists()


def test_provenance_is_short(repository, monkeypatch):
    monkeypatch.chdir(repository)
    made = provenance()
    assert made["git"] == git_state(repository)
    assert all(isinstance(value, str) and len(value) < 5000 for value in made.values())
