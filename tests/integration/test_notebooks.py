"""The notebooks of examples/, executed by a real kernel: what a person sees in each cell, and what the stop button leaves."""

import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import optuna
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook
from tiny_studies import ROOT

NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "examples").glob("*.ipynb"))}
TABLE, PLOT = "text/html", "image/png"
EXPECTED = {
    "own_network": {
        r"^student = dt\.distill": ["text/plain"],
        r"^result = dt\.tune": [TABLE, TABLE],
        r"^result\.trials": [TABLE],
        r"^result\.certificate$": [TABLE],
        r"^result\.plot_parity": [PLOT],
        r"^result\.plot_history": [PLOT],
        r"^rows = ": ["text/plain"],
        r"^result\.report": ["text/plain"],
    },
    "scikit_learn": {
        r"^features = dt\.describe": ["stdout"],
        r"^result = dt\.tune": [TABLE, TABLE],
        r"^made = result\.register": ["text/plain"],
        r"^served = ": [TABLE],
    },
    "go_on": {
        r"^!dfkd-tune study": ["stdout"],
        r"^first = dt\.load_result": ["stdout", TABLE],
        r"^more = dt\.tune": [TABLE, "stdout"],
        r"^small = dt\.tune": [TABLE, "stdout"],
        r"each\.plot_parity": [PLOT],
    },
}
"""Notebook -> what marks a cell -> the kinds of its outputs; any other cell has none."""


@pytest.fixture
def kernel(tmp_path, store, finished, monkeypatch):
    """Makes clients of a kernel that works in an empty directory, where MLflow's store is there already."""
    store.hand_out(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    resources = {"metadata": {"path": str(tmp_path)}}
    return lambda notebook: NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources)


def kinds(cell) -> list[str]:
    """The richest type of each output of a cell, in order; a stream counts by its name, and once.

    What a slow machine waits for is told on standard error after two seconds, and is no spam.
    """
    found = []
    for output in cell.outputs:
        if all(line.startswith("waiting ") for line in output.get("text", "-").split("\n") if line):
            continue
        data = output.get("data", {})
        rich = [kind for kind in (PLOT, TABLE, "text/plain") if kind in data]
        kind = output.get("name") or (rich[0] if rich else output.output_type)
        if kind not in ("stdout", "stderr") or kind not in found:
            found.append(kind)
    return found


def shown(cell) -> str:
    """All that a cell shows, without markup."""
    parts = []
    for output in cell.outputs:
        data = output.get("data", {})
        parts.append(output.get("text") or data.get(TABLE) or data.get("text/plain") or "")
    return re.sub(r"<[^>]*>", " ", "\n".join(parts))


def executed(kernel, name: str) -> dict[str, object]:
    """The cells of a notebook by what marks them, after a run without a word that nobody asked for."""
    notebook = nbformat.read(NOTEBOOKS[name], 4)
    kernel(notebook).execute()
    marked = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        mark = next((m for m in EXPECTED[name] if re.search(m, cell.source, re.MULTILINE)), None)
        assert kinds(cell) == (EXPECTED[name][mark] if mark else []), (cell.source, shown(cell))
        if mark:
            marked[mark] = cell
    assert set(marked) == set(EXPECTED[name])
    return marked


def test_a_network_of_ones_own(kernel, tmp_path):
    cells = executed(kernel, "own_network")
    tuned = cells[r"^result = dt\.tune"]
    assert "5/5 trials" in shown(tuned) and "dfkd-tune show pump" in shown(tuned)
    assert shown(cells[r"^rows = "]).rstrip().endswith("True)")  # in training mode, as it was
    assert "What is not promised" in shown(cells[r"^result\.certificate$"])
    page = (tmp_path / "pump.html").read_text()
    rmse = re.search(r"RMSE of (\S+?)[,.]? ", shown(tuned))[1]
    assert f"RMSE of {rmse}" in page
    assert len(list((tmp_path / "mlruns" / "teachers").glob("Sequential-*.pt2"))) == 1


def test_a_pipeline_is_registered_and_served(kernel, tmp_path):
    cells = executed(kernel, "scikit_learn")
    assert "models:/bearing@champion" in shown(cells[r"^made = result\.register"])
    table = cells[r"^served = "].outputs[0]["data"]["text/html"]
    rows = [re.findall(r"<td>([^<]*)</td>", row) for row in table.split("<tr")[2:]]
    pairs = [(float(teacher), float(student)) for *_, teacher, student in rows]
    assert len(pairs) == 5
    assert all(abs(teacher - student) < 3 for teacher, student in pairs), pairs
    assert len(list((tmp_path / "mlruns" / "teachers").glob("Pipeline-*.skops"))) == 1


def test_a_study_of_the_terminal_goes_on(kernel, dfkd, tmp_path):
    cells = executed(kernel, "go_on")
    assert shown(cells[r"^first = dt\.load_result"]).startswith("2 trials")
    assert shown(cells[r"^more = dt\.tune"]).rstrip().endswith("3 trials")
    compared = re.findall(r"(mill\S*): (\d+) parameters", shown(cells[r"^small = dt\.tune"]))
    assert [name for name, _ in compared] == ["mill", "mill-small"]
    assert int(compared[1][1]) <= 76 < int(compared[0][1]) <= 152
    assert "3 complete" in dfkd("show", "mill", cwd=tmp_path).out


def test_every_notebook_is_executed_here_and_kept_without_outputs():
    assert set(NOTEBOOKS) == set(EXPECTED)
    for path in NOTEBOOKS.values():
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if "outputs" in cell)


STUDY = """import torch
import dfkd_tune as dt
torch.manual_seed(0)
teacher = torch.nn.Sequential(torch.nn.Linear(2, 50), torch.nn.Tanh(), torch.nn.Linear(50, 1))
small = {"steps": 1000, "batch": 20, "pool": 500, "bank": 300}
about = {"population": 1, "reruns": 0}
result = dt.tune(teacher, features=["a", "b"], name="stopped", n_trials=8, seed=0, budget=small, study=about)
print(result.trials["state"].value_counts().to_dict())"""


def test_the_stop_button_and_the_same_cell_again(kernel, tmp_path):
    """The kernel is interrupted once trials are done; what was done stays, and the cell goes on with the rest."""
    notebook = new_notebook(cells=[new_code_cell(STUDY), new_code_cell(STUDY)])
    client, done = kernel(notebook), []

    def press() -> None:
        url, until = f"sqlite:///{tmp_path}/mlruns/optuna.db", time.monotonic() + 200
        while len(done) < 2 and time.monotonic() < until:
            time.sleep(0.2)
            with suppress(Exception):  # the study is being made
                trials = optuna.load_study(study_name="stopped", storage=url).trials
                done[:] = [t.number for t in trials if t.state.is_finished()]
        os.kill(client.km.provisioner.pid, signal.SIGINT)  # as the button does

    with client.setup_kernel():
        presser = threading.Thread(target=press)
        presser.start()
        with pytest.raises(CellExecutionError) as stop:
            client.execute_cell(notebook.cells[0], 0)
        presser.join()
        assert "KeyboardInterrupt" in str(stop.value) and "the same call goes on from here" in str(stop.value)
        client.execute_cell(notebook.cells[1], 1)
    first, again = notebook.cells
    assert 2 <= len(done) < 8 and "8/8 trials" not in shown(first)
    assert kinds(again) == [TABLE, "stdout"] and "8/8 trials" in shown(again)
    states = re.search(r"\{.*\}", shown(again))[0]
    assert sum(map(int, re.findall(r": (\d+)", states))) == 8 and "RUNNING" not in states


SLOW = """import time
import dfkd_tune as dt
def slow(rows):
    time.sleep(3 if not asked else 0)
    asked.append(len(rows))
    return rows[:, 0]
asked = []
dt.distill(slow, features=["a"], steps=20, batch=20, budget={"pool": 200, "bank": 100}).rmse > 0"""


def test_a_teacher_that_makes_one_wait_is_told_in_the_cell(kernel):
    notebook, seen = new_notebook(cells=[new_code_cell(SLOW)]), []
    client = kernel(notebook)
    process = client.process_message

    def look(message, *arguments):
        seen.append(message["content"].get("data", {}).get(TABLE, ""))
        return process(message, *arguments)

    client.process_message = look
    client.execute()
    assert any("waiting for the teacher: " in page for page in seen)
    assert kinds(notebook.cells[0]) == [TABLE, "text/plain"]
    assert re.fullmatch(r"a slow teacher: this call took \d+ s\s+True", shown(notebook.cells[0]).strip())
