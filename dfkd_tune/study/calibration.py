"""Choose how many trials train at once, and in how many processes and threads, from a benchmark of about a second that is cached.

A trial's result does not depend on either, but the trials that the sampler chooses do. So the population of a study with a given
seed is not calibrated: it runs the same trials on any machine, in as many processes as pay there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from dfkd_tune.errors import DfkdError, MachineError, StorageError
from dfkd_tune.locations.files import write
from dfkd_tune.recipes.initializers import Random
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.study_file import POPULATION
from dfkd_tune.study.agreement.lengths import trial_steps
from dfkd_tune.study.prepare import Prepared, needs, sized
from dfkd_tune.training.banks import BANKS
from dfkd_tune.training.cohort import Cohort
from dfkd_tune.training.distill import distill
from dfkd_tune.training.member import Member
from dfkd_tune.training.memory import Need
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import hardware
from dfkd_tune.utils.allocator import give_back_freed_memory

Clock = Callable[[], float]
MEMBERS = {"cpu": (1, 2, 4, 8, 16, 32), "cuda": (1, 8, 32, 64, 128, 256, 512)}
"""Populations (trials that train at once in one process) to try, by device."""
CALIBRATION_S = 1.5
"""Most seconds that a calibration takes, apart from one slow step."""
STEPS_A_ROUND, ROUNDS = 4, 3
CALIBRATION_ROWS = 1_024
"""Rows of the pool and of each bank in a calibration."""
TRIAL_FRACTION, LEAST_STEPS = 0.05, 50
"""Largest share of a trial's steps that is timed, and the fewest steps. Three times as many are timed too, to separate start and steps."""
ENOUGH_S, GROWTH = 0.3, 4
"""Seconds by which the two must differ, or more steps are timed: ``GROWTH`` times as many."""
BETTER = 1.25
"""How many times faster than ``POPULATION`` another population must be to replace it, because timings are noisy."""
GENERATIONS = 8
"""Fewest populations that a study should have one after another, so that its sampler learns between them."""
STARTUP, FORKED = 6.0, 1.5
"""Seconds in which a worker process starts and opens the study: after it imports everything, and as a fork of this process."""
GAIN = 0.8
"""Largest share of the time in one process that several processes may take to be worth it."""
SHORT = 10.0
"""Seconds: shorter studies are not calibrated."""
PAYS = 0.75
"""Largest share of a step's time on one thread that several threads may take to be worth it."""
ARITHMETIC = 2e-6
"""Rough lower bound of the seconds for one row of a student step, to recognize short studies."""


@dataclass(frozen=True)
class Calibration:
    """Timings on one thread.

    Args:
        rates: population -> student steps per second, summed over its members.
        trial: seconds of one trial on its own.
    """

    rates: dict[int, float]
    trial: float


@dataclass(frozen=True)
class ParallelPlan:
    """How a study runs on this machine.

    Args:
        population: trials that train at once in each process.
        workers: number of processes.
        why: the reason, as a phrase.
        threads: most computing threads of a process; each process times whether more than one pay.
    """

    population: int
    workers: int
    why: str
    threads: int = 1


def choose_parallelism(
    prepared: Prepared,
    workers: int | None = None,
    recorded: int | None = None,
    left: int | None = None,
    folder: Path | None = None,
    keep: bool = True,
    forked: bool = False,
) -> ParallelPlan:
    """Choose population and number of processes.

    Args:
        prepared: the study.
        workers: requested number of processes; None to choose it.
        recorded: the population of an existing study, which a resume keeps.
        left: number of trials that have not ended; None for all.
        folder: folder of cached calibrations.
        keep: whether to cache a new calibration there.
        forked: whether other processes would be forks of this one.
    """
    about = prepared.spec.study
    left = about.trials if left is None else left
    fixed = about.population or recorded
    if prepared.spec.budget.total_queries is not None:
        return ParallelPlan(fixed or prepared.population, workers or 1, "nothing is timed, as its teacher's rows count")
    seeded, short = prepared.spec.seeded, _short(prepared, left)
    if fixed is None and seeded:
        fixed = prepared.population
    idle = hardware.idle_cores() if prepared.device == "cpu" and not short else 1
    idle = min(idle, prepared.groups_of(None) or idle)  # more processes than groups would only wait
    if workers is None and idle == 1 and not short:
        workers = 1
    threads = 1 if seeded else max(1, idle // (workers or idle))
    if fixed is not None and workers is not None:
        return ParallelPlan(fixed, workers, _words(about.population, recorded, seeded), threads)
    if short:
        return ParallelPlan(fixed or prepared.population, workers or 1, "a study this short gains nothing from more")
    found = calibrate(prepared, folder, keep)
    population = fixed or _population(found.rates, about.trials)
    if workers is None:
        startup = FORKED if forked else STARTUP
        workers = _workers(prepared.with_population(population), found, left, population, idle, startup)
    rate = found.rates.get(population)
    speed = f"{rate:,.0f} student steps/s on a thread" if rate else "not timed, as the teacher is what takes the time"
    why = f"{speed}; {idle} of {hardware.cores()} cores idle"
    return ParallelPlan(population, workers, why, 1 if seeded else max(1, idle // workers))


def _words(given: int | None, recorded: int | None, seeded: bool) -> str:
    if given is not None:
        return "as the study file says"
    if recorded is not None:
        return "as on record"
    return "the same trials on any machine, as the seed is given"


def _short(prepared: Prepared, left: int) -> bool:
    budget = prepared.spec.budget
    row = ARITHMETIC + 1 / prepared.probe.rows_per_second
    return left * trial_steps(prepared.spec) * budget.batch * row < SHORT


def _population(rates: dict[int, float], trials: int) -> int:
    """The fastest population that still lets the sampler learn; ``POPULATION`` unless another is clearly faster."""
    usual = min(POPULATION, trials)
    offered = {k: rate for k, rate in rates.items() if k <= max(usual, trials // GENERATIONS)}
    if usual not in offered:
        return usual
    best = max(offered, key=lambda k: offered[k])
    return best if offered[best] > BETTER * offered[usual] else usual


def _workers(prepared: Prepared, found: Calibration, left: int, population: int, idle: int, startup: float) -> int:
    """Number of processes that fit in memory and save more time than they take to start."""
    rates = found.rates
    shared = rates[1] / (rates[population] / population) if {1, population} <= rates.keys() else 1.0
    alone = left * found.trial * min(1.0, shared)
    best, least = 1, GAIN * alone
    for count in range(2, idle + 1):
        took = alone / count + startup
        if took < least and _fits(prepared, count):
            best, least = count, took
    return best


def _fits(prepared: Prepared, count: int) -> bool:
    try:
        return sized(prepared, count).pool == prepared.sizes.pool
    except MachineError:
        return False


def calibrate(prepared: Prepared, folder: Path | None = None, keep: bool = True) -> Calibration:
    """Time a few steps at several populations, or load cached timings; arguments as in ``choose_parallelism``."""
    file = None if folder is None else folder / f"{_key(prepared)}.json"
    if file is not None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(file.read_text())
            return Calibration({int(k): float(rate) for k, rate in dict(kept["rates"]).items()}, float(kept["trial"]))
    with hardware.threads(1):
        found = _measure(prepared)
    give_back_freed_memory()  # this process may only watch worker processes from now on
    if file is not None and keep:
        with suppress(DfkdError):  # without a cache the next study only calibrates again
            write(file, json.dumps(asdict(found)).encode(), StorageError)
    return found


def _key(prepared: Prepared) -> str:
    """Cache key of a calibration: machine, teacher and structure of a trial."""
    recipe, size = replace(prepared.space.preset, steps=trial_steps(prepared.spec)), prepared.size
    words = (hardware.name(), prepared.device, prepared.teacher.sha256, size, repr(recipe))
    return hashlib.sha256(repr(words).encode()).hexdigest()[:32]


def small_problem(prepared: Prepared) -> Problem:
    """The problem of a study with a small pool and small banks."""
    spec, (pool, bank) = prepared.spec, _small(prepared)
    small = replace(spec, budget=replace(spec.budget, bank=bank))
    return replace(prepared, spec=small).problem(pool)


def small_rows(prepared: Prepared) -> int:
    """Number of teacher rows that ``small_problem`` asks."""
    pool, bank = _small(prepared)
    return pool + len(BANKS) * bank


def _small(prepared: Prepared) -> tuple[int, int]:
    """Rows of its pool, and of each of its banks."""
    return min(CALIBRATION_ROWS, prepared.sizes.pool), min(CALIBRATION_ROWS, prepared.spec.budget.bank)


def calibration_rows(prepared: Prepared, asked: Callable[[Recipe], int]) -> int:
    """About how many teacher rows a calibration asks, if none is cached; 0 for a study that is too short for one.

    Args:
        prepared: the study.
        asked: rows that a recipe asks in all its steps.
    """
    if prepared.spec.budget.total_queries is not None or _short(prepared, prepared.spec.study.trials):
        return 0
    recipe = replace(prepared.space.preset, steps=trial_steps(prepared.spec))
    rate = prepared.probe.rows_per_second
    alone = asked(replace(recipe, initializer=Random(), steps=ROUNDS * STEPS_A_ROUND))
    rows, spent, taken = small_rows(prepared), 0.0, list[float]()
    for members in MEMBERS[prepared.device]:  # as in ``_measure``
        if spent > CALIBRATION_S or (taken and 2 * STEPS_A_ROUND * taken[-1] > CALIBRATION_S):
            break
        seconds = members * alone / rate  # its first round asks for the rows of all
        rows, spent = rows + members * alone, spent + seconds
        taken.append(seconds / STEPS_A_ROUND if seconds > CALIBRATION_S / ROUNDS else 0.0)
    return rows if _is_slow(recipe, taken[0]) else rows + timed_rows(recipe, asked)


def timed_rows(recipe: Recipe, asked: Callable[[Recipe], int]) -> int:
    """About how many teacher rows ``trial_seconds`` asks, if its shortest trials differ by enough; ``asked`` as above."""
    part = min(_most_steps(recipe), LEAST_STEPS)
    return sum(asked(replace(recipe, steps=steps)) for steps in (part, 3 * part))


def _measure(prepared: Prepared) -> Calibration:
    problem, recipe, clock = small_problem(prepared), prepared.space.preset, _clock(prepared)
    recipe = replace(recipe, steps=trial_steps(prepared.spec))
    needed, start = needs(prepared), time.perf_counter()
    taken: dict[int, float] = {}
    for members in MEMBERS[prepared.device]:
        if not _affordable(prepared, needed, members) or time.perf_counter() - start > CALIBRATION_S:
            break
        if taken and 2 * STEPS_A_ROUND * max(taken.values()) > CALIBRATION_S:
            break
        taken[members] = _step(problem, recipe, members, clock)
    rates = {members: members / seconds for members, seconds in taken.items()}
    if _is_slow(recipe, taken[1]):  # one step takes long enough to time
        return Calibration(rates, taken[1] * recipe.steps)
    return Calibration(rates, trial_seconds(problem, recipe, clock))


def _is_slow(recipe: Recipe, step: float) -> bool:
    """Whether timing trials with steps of so many seconds would take too long."""
    return 4 * TRIAL_FRACTION * recipe.steps * step > 2 * CALIBRATION_S


def _clock(prepared: Prepared) -> Clock:
    """Processor time, which other programs do not disturb; wall time if work happens outside this process's CPU threads."""
    here = prepared.device == "cpu" and prepared.probe.differentiable
    return time.process_time if here else time.perf_counter


def _affordable(prepared: Prepared, needed: Need, members: int) -> bool:
    sizes = prepared.sizes
    taken = needed.bytes(sizes.pool, sizes.gradients, members)
    return members == 1 or taken <= hardware.memory_of(prepared.device)


def paying_threads(problem: Problem, recipe: Recipe, members: int, most: int) -> int:
    """Number of computing threads for the steps of a population: ``most`` if they pay by a third now, else one.

    Threads wait for each other at every small operation, so that beside other processes a second one can cost many times
    what it brings. A teacher outside this process is not queried for this.
    """
    if most < 2 or problem.device.type != "cpu" or not problem.probe.differentiable:
        return 1
    seconds = []
    for count in (1, most, 1):
        with hardware.threads(count):
            seconds.append(_step(problem, recipe, members, time.perf_counter))
    return most if seconds[1] <= PAYS * min(seconds[0], seconds[2]) else 1


def _step(problem: Problem, recipe: Recipe, members: int, clock: Clock) -> float:
    """Seconds of one step of a population of ``members``."""
    plain = replace(recipe, initializer=Random())
    plan = [Member(k, plain, k) for k in range(members)]
    for member in plan:
        member.begin(problem)
    cohort, best = Cohort(problem, plan), float("inf")
    for _ in range(ROUNDS):
        start = clock()
        cohort.run(STEPS_A_ROUND)
        _wait(problem)
        best = min(best, (clock() - start) / STEPS_A_ROUND)
        if best * STEPS_A_ROUND > CALIBRATION_S / ROUNDS:
            break
    return best


def trial_seconds(problem: Problem, recipe: Recipe, clock: Clock = time.perf_counter) -> float:
    """Seconds of one trial on its own, extrapolated from two short ones that differ by enough to time."""
    most = _most_steps(recipe)
    part = min(most, LEAST_STEPS)
    while True:
        few, more = _seconds(problem, recipe, part, clock), _seconds(problem, recipe, 3 * part, clock)
        if more - few > ENOUGH_S or part == most:
            return few + max(0.0, more - few) * (recipe.steps - part) / (2 * part)
        part = min(most, GROWTH * part)


def _most_steps(recipe: Recipe) -> int:
    return min(recipe.steps, max(LEAST_STEPS, round(TRIAL_FRACTION * recipe.steps)))


def _seconds(problem: Problem, recipe: Recipe, steps: int, clock: Clock) -> float:
    start = clock()
    distill(problem, replace(recipe, steps=steps), problem.seed)
    _wait(problem)
    return clock() - start


def _wait(problem: Problem) -> None:
    if problem.device.type == "cuda":
        torch.cuda.synchronize()
