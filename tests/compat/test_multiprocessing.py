"""A fork server that is a fork of this process: it shares what is imported, holds no file of this process, and ends with it."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")

SCRIPT = """
import json, multiprocessing, os, sys, threading, time
from dfkd_tune.compat.multiprocessing import fork_the_server

def child(sender):
    files = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
    sender.send((os.getppid(), "colorsys" in sys.modules, os.path.realpath(__file__) in files))
    print("written by the child", flush=True)

if __name__ == "__main__":
    import colorsys
    held, own = open(__file__), os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(own, "w")  # as the command line does
    threads, idle = json.loads(sys.argv[1])
    for name in threads:
        threading.Thread(target=time.sleep, args=(600,), name=name, daemon=True).start()
    forked = fork_the_server(idle)
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(sender,))
    process.start()
    found = receiver.recv()
    process.join()
    print(json.dumps([forked, *found]), flush=True)
    time.sleep(600 if sys.argv[2:] else 0)
"""


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return str(file)


@pytest.mark.parametrize(
    ("threads", "idle", "forked"),
    [
        ([], [], True),
        (["waiting"], ["waiting"], True),
        (["busy"], [], False),
        (["waiting", "busy"], ["waiting"], False),
    ],
)
def test_it_is_forked_beside_no_thread_that_may_hold_a_lock(script, threads, idle, forked):
    command = [sys.executable, script, json.dumps([threads, idle])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "written by the child\n")
    told, _, shares_imports, shares_files = json.loads(done.stdout)
    assert told is shares_imports is forked
    assert not shares_files


def test_it_ends_with_a_process_that_is_killed(script):
    command = [sys.executable, script, json.dumps([[], []]), "stay"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        forked, server, *_ = json.loads(process.stdout.readline())
        assert forked and psutil.Process(server).ppid() == process.pid
        watched = psutil.Process(server)
        os.kill(process.pid, signal.SIGKILL)
    watched.wait(timeout=30)


INTERPRETERS = """
import multiprocessing, sys
from dfkd_tune.compat.multiprocessing import fork_the_server

def grandchild():
    print("written by an interpreter of the child", file=sys.stderr, flush=True)

def child():
    process = multiprocessing.get_context(sys.argv[1]).Process(target=grandchild)
    process.start()
    process.join()

if __name__ == "__main__":
    assert fork_the_server()
    process = multiprocessing.get_context("forkserver").Process(target=child)
    process.start()
    process.join()
"""


@pytest.mark.parametrize("closed", ["", "<&-", ">&-", "<&- >&-"])
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_its_children_start_interpreters_and_keep_standard_error(tmp_path, method, closed):
    """A teacher may have processes of its own; a closed stream leaves its number to a pipe of the server."""
    file = tmp_path / "script.py"
    file.write_text(INTERPRETERS)
    command = ["sh", "-c", f'exec "$0" "$1" "$2" {closed}', sys.executable, str(file), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "written by an interpreter of the child\n")
