"""Trials a minute on a device against those on the cores of the host, by how many train at once."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from dfkd_tune.inputs import Inputs
from dfkd_tune.member import Member
from dfkd_tune.population import Population
from dfkd_tune.problem import Problem
from dfkd_tune.recipe import PAPER
from dfkd_tune.teachers import Teacher, probe

FULL = 20_000
WARM = 50
"""Steps before the clock starts."""


def trials_a_minute(teacher: Teacher, inputs: Inputs, device: str, members: int, steps: int) -> float:
    """Of the preset ``paper``, 20,000 steps each, in one process, evaluations at rungs included.

    Args:
        teacher, inputs: of the problem.
        device: where it is computed.
        members: trials at once.
        steps: that are timed.
    """
    problem = Problem(teacher, inputs, probe(teacher, inputs), device=device)
    population = Population(problem)
    recipe = replace(PAPER, steps=WARM + steps)
    for k in range(members):
        population.admit(Member(k, recipe, k, rungs=max(1, (WARM + steps) // WARM)))
    population.advance()
    _wait(device)
    start, before = time.perf_counter(), population.members[0].clock
    while population.members[0].clock < WARM + steps:
        population.advance()
    _wait(device)
    done = population.members[0].clock - before
    return 60 * members * done / FULL / (time.perf_counter() - start)


def devices(teacher: Teacher, inputs: Inputs, device: str, members: list[int], steps: int, cores: int) -> dict:
    """Trials a minute by device and population; the host's are of one core, times ``cores``."""
    found: dict[str, dict[int, float]] = {"host": {}, device: {}}
    for count in members:
        if count <= 16:
            found["host"][count] = cores * trials_a_minute(teacher, inputs, "cpu", count, steps)
        found[device][count] = trials_a_minute(teacher, inputs, device, count, steps)
    best = max(found["host"].values())
    for count, rate in found[device].items():
        print(
            f"{device}, K = {count:<4} {rate:8.1f} trials a minute, {rate / best:6.2f} times those of {cores} cores",
            flush=True,
        )
    return {"cores": cores, **{name: {str(k): rate for k, rate in rates.items()} for name, rates in found.items()}}


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
