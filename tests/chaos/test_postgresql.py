"""PostgreSQL goes down in the middle of a study: workers wait, and go on."""

import contextlib
import multiprocessing
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aftermath import assert_whole
from processes import free_port

from dfkd_tune.search.progress import Progress
from dfkd_tune.study import workers

pytestmark = pytest.mark.slow


class Cluster:
    """A PostgreSQL server of this test alone, to be restarted at will."""

    def __init__(self, folder: Path):
        found = [shutil.which("pg_ctl"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))]
        if not any(found):
            pytest.skip("no pg_ctl")
        self.programs, self.folder, self.port = Path([each for each in found if each][-1]).parent, folder, free_port()
        self._run("initdb", "--auth=trust", "--username=postgres", "--pgdata", folder / "data")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off"
        self._run("pg_ctl", "-D", self.folder / "data", "-o", options, "-l", self.folder / "log", "-w", "start")

    def stop(self, how: str) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", how, "-w", "stop")

    @property
    def url(self) -> str:
        return f"postgresql://postgres:hunter2@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *arguments: object) -> None:
        """As a user that PostgreSQL takes, which root is not."""
        user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        command = [self.programs / program, *arguments]
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        with (self.folder / "said").open("ab") as said:
            subprocess.run(list(map(str, command)), check=True, stdout=said, stderr=said, cwd=self.folder, **who)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="dfkd-pg-") as place:  # pytest's own are closed to other users
        folder = Path(place)
        folder.chmod(0o755)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        made = Cluster(folder)
        made.start()
        try:
            yield made
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                made.stop("immediate")


def test_a_restart_in_mid_study(monkeypatch, cluster, store, tiny, capfd):
    """Three restarts: an orderly one, one like a crash, and one with seconds of silence between."""
    restarts = [(6, "fast", 0.0), (14, "immediate", 0.0), (22, "fast", 15.0)]
    pids: list[set[int]] = []

    def watch(progress: Progress) -> None:
        if restarts and progress.done + progress.pruned >= restarts[0][0] and progress.running:
            _, how, silence = restarts.pop(0)
            pids.append({each.pid for each in multiprocessing.active_children()})
            cluster.stop(how)
            time.sleep(silence)
            cluster.start()

    prepared = tiny("restarted", trials=40, population=2, reruns=1)
    workers.run_workers(prepared, cluster.url, store.tracking, 3, on_progress=watch)
    assert not restarts
    assert pids[0] == pids[1] == pids[2], "a worker died of it"
    counts = assert_whole(cluster.url, store.tracking, "restarted", 40)
    assert counts["failed"] == 0
    assert counts["requeued"] == 0
    assert "hunter2" not in "".join(capfd.readouterr())
