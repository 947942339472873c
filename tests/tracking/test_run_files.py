"""A run's files are written in their folders, and whether they are all there is seen by content, or by size elsewhere."""

from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from dfkd_tune.tracking.outbox import Record, digest
from dfkd_tune.tracking.run_files import complete, write_files

FILES = {"student/a.bin": b"abc", "student/deep/b.bin": b"", "top.txt": b"text"}


class Elsewhere:
    """A repository of another machine, which tells names and sizes."""

    def __init__(self, home: LocalArtifactRepository) -> None:
        self.list_artifacts = home.list_artifacts


def test_files_are_complete_once_all_are_as_recorded(tmp_path):
    contents = {}
    for data in FILES.values():
        (tmp_path / "one").write_bytes(data)
        contents[digest(tmp_path / "one")] = data
    record = Record("close", files=dict(zip(FILES, contents, strict=True)))
    home = LocalArtifactRepository(str(tmp_path / "artifacts"))
    both = home, Elsewhere(home)
    for count in range(len(FILES)):
        assert not any(complete(each, record, contents.__getitem__) for each in both)
        write_files(home, dict([*FILES.items()][: count + 1]))
    assert all(complete(each, record, contents.__getitem__) for each in both)
    assert {path.relative_to(tmp_path / "artifacts").as_posix() for path in tmp_path.rglob("*.*")} == {*FILES}
    (tmp_path / "artifacts" / "top.txt").write_bytes(b"tent")  # of the same size
    assert [complete(each, record, contents.__getitem__) for each in both] == [False, True]
