"""Trials a minute on a device against those on the cores of the host, by how many train at once."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem

FULL = 20_000
HOST = (8, 16)
"""Trials at once on the host, the better of which counts."""
WARM = 50
"""Steps before the clock starts."""


def trials_a_minute(problem: Problem, members: int, steps: int) -> float:
    """Of the preset ``paper``, 20,000 steps each, in one process, evaluations at rungs included.

    Args:
        problem: on its device.
        members: trials at once.
        steps: that are timed.
    """
    population = Population(problem)
    recipe = replace(PAPER, steps=WARM + steps)
    for k in range(members):
        population.admit(Member(k, recipe, k, rungs=max(1, (WARM + steps) // WARM)))
    population.advance()
    _wait(problem)
    start, before = time.perf_counter(), population.members[0].clock
    while population.members[0].clock < WARM + steps:
        population.advance()
    _wait(problem)
    done = population.members[0].clock - before
    return 60 * members * done / FULL / (time.perf_counter() - start)


def devices(teacher: Teacher, inputs: Inputs, device: str, members: list[int], steps: int, cores: int) -> dict:
    """Trials a minute by device and population; the host's are of one core, times ``cores``."""
    here, there = (Problem(teacher, inputs, probe(teacher, inputs), device=each) for each in ("cpu", device))
    host = {count: cores * trials_a_minute(here, count, steps) for count in HOST}
    best, found = max(host.values()), {}
    for count in members:
        rate = found[count] = trials_a_minute(there, count, steps)
        print(
            f"{device}, K = {count:<4} {rate:8.1f} trials a minute, {rate / best:6.2f} times those of {cores} cores",
            flush=True,
        )
    return {"cores": cores, "host": host, device: found}


def _wait(problem: Problem) -> None:
    if problem.device.type == "cuda":
        torch.cuda.synchronize()
