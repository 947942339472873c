"""Files that are cut, altered or cannot be written: told in one line, and the study goes on once that is mended."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_studies import runs_of

from dfkd_tune import register
from dfkd_tune.errors import DfkdError, ExportError, StorageError
from dfkd_tune.locations.files import write
from dfkd_tune.locations.paths import spool_folder
from dfkd_tune.search.loaded import load_study
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study
from dfkd_tune.study.sync import sync
from dfkd_tune.tracking.outbox import Outbox, digest

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def whole(store, tiny):
    return run_study(tiny("whole", trials=2), store.storage, store.tracking)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def alter(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("harm", [cut, alter, Path.unlink], ids=["cut", "altered", "gone"])
@pytest.mark.parametrize("name", ["student.safetensors", "result.json", "sha256.json"])
def test_a_damaged_student_is_refused_and_mended(whole, store, dfkd, tmp_path, harm, name):
    (run,) = (run for run in runs_of(store.tracking, "whole", "trial") if run.data.params["trial"] == "1")
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "student" / name
    before = file.read_bytes()
    harm(file)
    with pytest.raises(ExportError, match=name.replace(".", r"\.")) as refusal:
        register(store.tracking, "whole", "whole", trial=1)
    assert len(str(refusal.value).splitlines()) == 1
    told = dfkd("export", "whole", "--trial", "1", "--out", "out.pt2", "--tracking-uri", store.tracking)
    assert (told.status, len(told.err.splitlines())) == (1, 1) and name in told.err
    assert not (tmp_path / "out.pt2").exists()
    assert sync(store.storage, store.tracking, "whole").refused == ()
    assert file.read_bytes() == before
    assert dfkd("export", "whole", "--trial", "1", "--out", "out.pt2", "--tracking-uri", store.tracking).status == 0


def test_a_damaged_record_of_the_spool_is_told(tiny, store, tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        store.hand_out(tmp_path / place)
    run_study(tiny("spoiled", trials=2), storage, f"sqlite:///{tmp_path}/one/mlruns/mlflow.db")
    spool = Outbox(spool_folder(storage, "spoiled"), storage)
    harmed = max((spool.folder / "objects").iterdir(), key=lambda file: file.stat().st_size)
    cut(harmed)
    done = sync(storage, f"sqlite:///{tmp_path}/two/mlruns/mlflow.db", "spoiled")
    assert len(done.refused) >= 1
    assert all("truncated or altered" in reason and "\n" not in reason for reason in done.refused)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 24 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("no permission to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


def free(disk: Path) -> None:
    (disk / "ballast").unlink()


def _run_until_full(spec, storage: str, tracking: str, disk: Path) -> None:
    """A study whose disk is full after two trials; prints how it ended."""
    filled = []

    def watch(progress) -> None:
        if progress.done + progress.pruned == 2 and not filled:
            filled.append(fill(disk))

    try:
        run_study(prepare(spec), storage, tracking, watch)
    except DfkdError as error:
        print(f"told: {error}")


def test_a_full_disk_leaves_the_study_resumable(disk, tiny, store, start):
    storage, name = f"sqlite:///{disk}/optuna.db", "full-disk"
    process = start(_run_until_full, tiny(name, trials=5, reruns=1).spec, storage, store.tracking, disk)
    try:
        assert process.wait() == 0, process.said
        assert "Traceback" not in process.said
        (told,) = (line for line in process.said.splitlines() if line.startswith("told: "))
        assert str(disk) in told
    finally:
        free(disk)
    done = run_study(tiny(name, trials=5, reruns=1), storage, store.tracking)
    assert done.progress.done + done.progress.pruned == 5
    assert len(load_study(storage, name).get_trials()) == 5
    spool = Outbox(spool_folder(storage, name), storage)
    assert all(digest(file) == file.name for file in (spool.folder / "objects").iterdir() if file.suffix != ".partial")
    runs = runs_of(store.tracking, name)
    assert not [run.info.run_name for run in runs if run.info.status == "RUNNING"]
    ended = {run.data.params["trial"] for run in runs if run.info.status == "FINISHED" and "trial" in run.data.params}
    assert ended == {
        str(trial.number) for trial in load_study(storage, name).get_trials() if trial.state.name == "COMPLETE"
    }


def test_a_write_is_whole_or_not_at_all(disk):
    write(disk / "file", b"before", StorageError)
    fill(disk)
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        write(disk / "file", bytes(2**20), StorageError)
    assert (disk / "file").read_bytes() == b"before"
    assert sorted(os.listdir(disk)) == ["ballast", "file"]


def test_a_read_only_disk_is_told_before_any_trial(disk, tiny, store):
    storage = f"sqlite:///{disk}/optuna.db"
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StorageError, match="is not writable: Read-only file system") as told:
        run_study(tiny("read-only", trials=1), storage, store.tracking)
    assert str(disk) in str(told.value) and len(str(told.value).splitlines()) == 1
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert run_study(tiny("read-only", trials=1), storage, store.tracking).progress.done == 1
