"""Trials a minute on a device against those on the cores of the host, by how many train at once.

    python benchmarks/devices.py --shared ../shared --json devices.json

It needs torch and pydantic alone, and neither Optuna nor MLflow, which few machines with a GPU have.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from tables import shared_teacher

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.training.rungs import RUNGS

FULL = 20_000
HOST = (8, 16)
"""Trials at once on the host, the better of which counts."""


def trials_a_minute(problem: Problem, members: int, steps: int) -> float:
    """Of the preset ``paper``, 20,000 steps each, in one process, evaluations at rungs included.

    Args:
        problem: on its device.
        members: trials at once.
        steps: that are timed, to the next rung.
    """
    population = Population(problem)
    for k in range(members):
        population.admit(Member(k, replace(PAPER, steps=FULL), k, rungs=RUNGS))
    population.advance()
    _wait(problem)
    start, before = time.perf_counter(), population.members[0].clock
    while population.members[0].clock < before + steps:
        population.advance()
    _wait(problem)
    done = population.members[0].clock - before
    return 60 * members * done / FULL / (time.perf_counter() - start)


def devices(teacher: Teacher, inputs: Inputs, device: str, members: list[int], steps: int, cores: int) -> dict:
    """Trials a minute by device and population; the host's are of one core, times ``cores``."""
    here, there = (Problem(teacher, inputs, probe(teacher, inputs), device=each) for each in ("cpu", device))
    host = {count: cores * trials_a_minute(here, count, steps) for count in HOST}
    best, found = max(host.values()), []
    for count in members:
        rate = trials_a_minute(there, count, steps)
        found.append({"members": count, "rate": rate, "ratio": rate / best})
        print(
            f"{device}, K = {count:<4} {rate:8.1f} trials a minute, {rate / best:6.1f} times {cores} cores", flush=True
        )
    return {"cores": cores, "host": best, "device": name_of(device), "found": found}


def name_of(device: str) -> str:
    """What the maker calls a device."""
    return torch.cuda.get_device_name() if device == "cuda" else device


def _wait(problem: Problem) -> None:
    if problem.device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--dataset", default="cpusmall")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--members", type=int, nargs="+", default=[1, 8, 64, 256, 512], help="trials at once on the device"
    )
    parser.add_argument("--steps", type=int, default=2_000, help="timed of each trial")
    parser.add_argument("--cores", type=int, default=2, help="of the host, to compare with")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        teacher = shared_teacher(args.dataset, args.shared, Path(folder))
    inputs = Inputs.unknown(teacher.chain.layers[0][0].shape[1])
    found = devices(teacher, inputs, args.device, args.members, args.steps, args.cores)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
