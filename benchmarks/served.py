"""From nothing to a served champion that answers: what is typed, and the seconds that each command takes.

    python benchmarks/served.py --source REPOSITORY

In an empty folder and with an empty environment, as a new user has it. Keystrokes are the characters of a line and its Enter, the
repository's address left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import figures

from dfkd_tune.utils import hardware

ROOT = Path(__file__).parent.parent
SERVE = "mlflow models serve -m models:/quickstart@champion --env-manager local -p 5001"
ASK = "curl --json @- 127.0.0.1:5001/invocations < mlruns/artifacts/quickstart/models/*/artifacts/serving_input_example.json"
TYPED = (
    "git clone ADDRESS dfkd-tune",
    "cd dfkd-tune",
    "make study",
    ". .venv/bin/activate",
    "dfkd-tune register quickstart --model quickstart",
    "export MLFLOW_TRACKING_URI=sqlite:///mlruns/mlflow.db",
    SERVE,
    ASK,
)
"""What a user types, in one shell but for the last line, as serving keeps its own."""


class Shell:
    """A shell that keeps its folder and its environment from line to line."""

    def __init__(self, folder: Path):
        self.process = subprocess.Popen(
            ["bash"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, line: str) -> tuple[float, str]:
        """Seconds and output of a line that must succeed."""
        start, said = time.perf_counter(), []
        print(f"{line}\nended=$?; echo; echo over $ended", file=self.process.stdin, flush=True)
        for told in self.process.stdout:
            if told.startswith("over "):
                break
            said.append(told)
        text = "".join(said).strip()
        if told.strip() != "over 0":
            raise SystemExit(f"{line}: {text}")
        return time.perf_counter() - start, text

    def close(self) -> None:
        """End what still runs in it."""
        self.process.communicate("kill $(jobs -p); wait; exit\n", timeout=60)


def answering(url: str, patience: float = 180.0) -> float:
    """Seconds until a server answers."""
    start = time.perf_counter()
    while time.perf_counter() - start < patience:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return time.perf_counter() - start
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def walk(source: str, folder: Path) -> list[dict]:
    """Type all of it; a row a line with its keystrokes, its seconds and the last line that it printed."""
    shell, rows = Shell(folder), []
    try:
        for line in TYPED:
            typed = line.replace("ADDRESS", source)
            if line == SERVE:
                shell.run(f"{typed} > serving.log 2>&1 &")
                seconds, said = answering("http://127.0.0.1:5001/ping"), "answers"
            else:
                seconds, said = shell.run(typed.replace("curl", "curl --silent --show-error"))
            last = said.splitlines()[-1] if said else ""
            rows.append({"line": line, "keys": len(line.replace("ADDRESS", "")) + 1, "seconds": seconds, "said": last})
            print(f"{seconds:7.1f} s  {rows[-1]['keys']:4d} keys  {line}\n           {last[:150]}", flush=True)
    finally:
        shell.close()
    return rows


def entries(rows: list[dict]) -> dict[str, figures.Measured]:
    """What a run publishes, from the rows of ``walk``."""
    seconds = {row["line"]: row["seconds"] for row in rows}
    values = {
        "lines": len(rows),
        "keystrokes": sum(row["keys"] for row in rows),
        "seconds": round(sum(seconds.values())),
        "install_and_study_seconds": round(seconds["make study"]),
    }
    return {
        "served": figures.Measured([0], "installation and a study of 20 trials", values=values, machine=hardware.name())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default=str(ROOT), help="repository to clone")
    parser.add_argument("--json", type=Path, help="file for the rows")
    figures.add_option(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = walk(asked.source, Path(folder))
    seconds, keys = (sum(row[name] for row in rows) for name in ("seconds", "keys"))
    print(f"{len(rows)} lines, {keys} keystrokes, {seconds:.0f} s")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))
    if asked.publish:
        figures.publish(entries(rows))


if __name__ == "__main__":
    main()
