"""What a teacher that answers slowly is asked in a study of a black box: by every process, and at so many milliseconds a row.

    python benchmarks/slow_teacher.py --trials 20 --steps 2000 --budgets 0 4000

Each study runs twice over, as a user's would who stops and goes on: the second session adds a trial. Rows are counted where
the teacher is called. It sleeps a millisecond a row while it is probed, so that it is taken for what it plays, and not after that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import figures

from dfkd_tune.search.loaded import load_study

TEACHER = """
import os
import time
import numpy as np
import torch

rng = np.random.default_rng(0)
PROBED = 2_500
asked = 0
FIRST, LAST = rng.standard_normal((12, 64)) / 12**0.5, rng.standard_normal(64) / 8


def answer(x):
    global asked
    asked += len(x)
    if asked < PROBED:
        time.sleep(len(x) / 1_000)
    with open(os.environ["ASKED"], "a") as log:
        log.write(f"{len(x)}\\n")
    return torch.from_numpy(np.tanh(x.detach().numpy() @ FIRST) @ LAST).float()


def teacher():
    return answer
"""

POOL = 16_384
"""What a teacher of a millisecond a row gets."""


def asked(folder: Path) -> int:
    """Rows so far."""
    log = folder / "asked"
    return sum(map(int, log.read_text().split())) if log.exists() else 0


def study(budget: int, args: argparse.Namespace) -> dict:
    """One study of so many teacher rows a trial, 0 for no limit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "slow.py").write_text(TEACHER)
        (folder / "features.yaml").write_text(json.dumps({"features": [{"name": f"x{i}"} for i in range(12)]}))
        limit = {"teacher_rows": budget} if budget else {}
        spec = {
            "study": {"name": "slow", "trials": args.trials, "seed": args.seed},
            "teacher": "slow:teacher",
            "features": "features.yaml",
            "budget": {"steps": args.steps, "pool": POOL} | limit,
        }
        (folder / "study.yaml").write_text(json.dumps(spec))  # JSON is YAML
        command = [sys.executable, "-m", "dfkd_tune", "study", "study.yaml", "--quiet", "--workers", str(args.workers)]
        rows, start = [], time.perf_counter()
        for extra in ([], ["--n-trials", str(args.trials + 1)]):
            before = asked(folder)
            environment = os.environ | {"ASKED": str(folder / "asked")}
            subprocess.run([*command, *extra], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            rows.append(asked(folder) - before)
        known = load_study(f"sqlite:///{folder}/mlruns/optuna.db", "slow")
        trials = [t for t in known.get_trials() if "teacher_rows" in t.user_attrs]
        complete = [t.user_attrs["nrmse"] for t in trials if "nrmse" in t.user_attrs]
    return {
        "budget": budget,
        "first session": rows[0],
        "second session": rows[1],
        "trials": int(sum(t.user_attrs["teacher_rows"] for t in trials)),
        "best nrmse": min(complete),
        "seconds": time.perf_counter() - start,
    }


def entries(found: list[dict], args: argparse.Namespace) -> dict[str, figures.Measured]:
    """What a run publishes: rows and minutes of the teacher, for each limit.

    Args:
        found: what ``study`` returned, for every budget.
        args: trials, steps, seed, and milliseconds of a row.
    """
    rows = {}
    for each in found:
        asked, more = each["first session"], each["second session"]
        minutes = (asked + more) * args.milliseconds / 60_000
        name = f"`budget.teacher_rows: {each['budget']}`" if each["budget"] else "without a limit"
        rows[name] = [f"{asked / 1e6:.2f} million", f"{minutes:.1f}", f"{each['best nrmse']:.3f}", f"{more:,}"]
    budget = f"{args.trials} trials, finished students of {args.steps:,} steps, and one more trial in a second session"
    return {"slow_teacher": figures.Measured([args.seed], budget, rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--budgets", type=int, nargs="+", default=[0, 4_000])
    parser.add_argument("--milliseconds", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    figures.add_option(parser)
    args = parser.parse_args()
    found = [study(budget, args) for budget in args.budgets]
    for each in found:
        minutes = (each["first session"] + each["second session"]) * args.milliseconds / 60_000
        print(
            f"at most {each['budget'] or 'any number of'} rows a trial: {each['first session']:,} rows, then "
            f"{each['second session']:,} for one trial more; {each['trials']:,} of them by trials; "
            f"{minutes:.1f} min of teacher; best nrmse {each['best nrmse']:.3g}"
        )
    if args.json:
        args.json.write_text(json.dumps({"arguments": vars(args) | {"json": None}, "found": found}, indent=1))
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
