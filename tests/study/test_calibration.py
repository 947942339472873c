"""How many trials train at once, and in how many processes: measured where nobody said, the same wherever a seed was given."""

import json
from dataclasses import replace

import pytest
import torch

from dfkd_tune.study import calibration
from dfkd_tune.study.calibration import LEAST_STEPS, Calibration, calibrate, choose_parallelism, trial_seconds
from dfkd_tune.testing.problems import Counting, make_problem, network, recipe
from dfkd_tune.utils import hardware

pytestmark = pytest.mark.usefixtures("undrawn")

LONG = {"steps": 20_000, "batch": 100}


@pytest.fixture
def measured(monkeypatch):
    """A machine of four cores on which a trial takes ten seconds, and what was measured of it, population by population."""
    rates: dict[int, float] = {1: 100.0, 8: 500.0}
    calls = []
    monkeypatch.setattr(hardware, "cores", lambda: 4)
    monkeypatch.setattr(hardware, "idle_cores", lambda: 4)
    monkeypatch.setattr(calibration, "_measure", lambda prepared: calls.append(prepared) or Calibration(rates, 10.0))
    rates_of = {"rates": rates, "calls": calls}
    return rates_of


@pytest.fixture
def open_ended(tiny):
    """Makes a study that says nothing of its population, nor of its seed."""

    def make(name: str = "open", trials: int = 200, **about):
        prepared = tiny(name, trials=trials, budget=LONG, population=None, **about)
        return prepared

    return make


@pytest.mark.parametrize(
    "rates,trials,population",
    [
        ({1: 100, 8: 500, 16: 550, 32: 560}, 400, 8),  # within the noise
        ({1: 100, 8: 500, 16: 900, 32: 1_000}, 400, 32),
        ({1: 100, 8: 500, 16: 900, 32: 1_000}, 200, 16),  # a sampler learns from one generation to the next
        ({1: 100, 8: 500, 16: 900, 32: 1_000}, 20, 8),
        ({1: 100, 4: 900, 8: 500}, 20, 4),
        ({1: 100, 2: 120, 4: 130}, 4, 4),
        ({1: 1.0}, 200, 8),  # the teacher takes the time
    ],
)
def test_the_fastest_population_that_still_learns(measured, open_ended, rates, trials, population):
    measured["rates"].clear()
    measured["rates"].update(rates)
    assert choose_parallelism(open_ended(trials=trials)).population == population


def test_processes_must_be_worth_their_start(measured, open_ended):
    assert choose_parallelism(open_ended(trials=200)).workers == 4
    assert choose_parallelism(open_ended(trials=200), left=1).workers == 1  # all but over
    assert choose_parallelism(open_ended(trials=200), workers=3).workers == 3


def test_forks_are_worth_it_sooner(measured, open_ended, monkeypatch):
    """Ten seconds of trials: a fourth of them and the start of a process are less, and imports besides are not."""
    monkeypatch.setattr(calibration, "_measure", lambda prepared: Calibration(measured["rates"], 1.0))
    prepared = open_ended(trials=200)
    by_start = [choose_parallelism(prepared, left=10, forked=forked).workers for forked in (False, True)]
    assert by_start == [1, 4]


def test_a_busy_machine_gets_fewer_processes(measured, open_ended, monkeypatch):
    """And no thread beside the first, unless cores are left."""
    plans = {}
    for idle in (4, 3, 1):
        monkeypatch.setattr(hardware, "idle_cores", lambda idle=idle: idle)
        plans[idle] = choose_parallelism(open_ended(trials=200))
    assert {idle: (plan.workers, plan.threads) for idle, plan in plans.items()} == {4: (4, 1), 3: (3, 1), 1: (1, 1)}
    monkeypatch.setattr(hardware, "idle_cores", lambda: 4)
    assert choose_parallelism(open_ended(trials=200), workers=2).threads == 2


def test_threads_are_used_where_they_pay_by_a_third_now(tiny, monkeypatch):
    problem = calibration.small_problem(tiny("paid"))
    recipe, asked = tiny("paid").space.preset, []

    def step(problem, recipe, members, clock):
        asked.append(torch.get_num_threads())
        return seconds[torch.get_num_threads()]

    monkeypatch.setattr(calibration, "_step", step)
    for several, chosen in ((0.74, 3), (0.76, 1), (100.0, 1)):
        seconds = {1: 1.0, 3: several}
        assert calibration.paying_threads(problem, recipe, 2, most=3) == chosen
    assert asked == [1, 3, 1] * 3
    assert calibration.paying_threads(problem, recipe, 2, most=1) == 1
    assert len(asked) == 9  # nothing to choose, nothing timed


def test_processes_must_have_room(measured, open_ended, monkeypatch):
    prepared = open_ended()
    monkeypatch.setattr(hardware, "memory", lambda: 2**30)
    assert choose_parallelism(prepared).workers == 2


def test_a_given_seed_is_the_same_study_on_any_machine(measured, open_ended, monkeypatch):
    """In as many processes as pay there, up to its groups, each on one thread."""
    measured["rates"][16] = 10_000.0
    seeded = replace(open_ended(), spec=replace(open_ended().spec, seeded=True))
    plans = [choose_parallelism(seeded)]
    monkeypatch.setattr(hardware, "idle_cores", lambda: 1)
    plans.append(choose_parallelism(seeded))
    assert [(plan.population, plan.workers, plan.threads) for plan in plans] == [(8, 2, 1), (8, 1, 1)]
    monkeypatch.setattr(hardware, "idle_cores", lambda: 4)
    assert choose_parallelism(replace(seeded, groups=3)).workers == 3
    assert "seed" in plans[1].why


def test_a_resume_keeps_its_population(measured, open_ended):
    plan = choose_parallelism(open_ended(), recorded=5)
    assert plan.population == 5


def test_what_is_said_is_not_measured(measured, tiny, open_ended):
    assert choose_parallelism(tiny("said", trials=200, population=3, budget=LONG), workers=2).population == 3
    short = tiny("short", trials=4, population=None)
    assert (choose_parallelism(short).population, choose_parallelism(short).workers) == (4, 1)
    assert not measured["calls"]


def test_a_calibration_is_kept_and_asked_of_the_same_structure_alone(measured, open_ended, tmp_path):
    first = calibrate(open_ended(), tmp_path)
    assert calibrate(open_ended(), tmp_path) == first
    assert len(measured["calls"]) == 1
    calibrate(open_ended(student={"max_parameters": 100}), tmp_path)
    assert len(measured["calls"]) == 2
    longer = open_ended()
    calibrate(replace(longer, spec=replace(longer.spec, budget=replace(longer.spec.budget, trial_share=0.5))), tmp_path)
    assert len(measured["calls"]) == 3
    for file in tmp_path.glob("*.json"):
        file.write_text(json.dumps({"rates": "?"}))
    assert calibrate(open_ended(), tmp_path) == first
    assert len(measured["calls"]) == 4
    assert calibrate(open_ended(), tmp_path / "other", keep=False) == first
    assert not (tmp_path / "other").exists()


def test_a_real_calibration_times_the_loop(tiny):
    found = calibrate(tiny("timed", population=None, budget={"steps": 60}))
    assert 1 in found.rates and all(rate > 0 for rate in found.rates.values())
    assert found.trial > 0


def test_a_slow_trial_is_timed_by_few_steps():
    teacher = Counting(network())
    problem, steps = make_problem(teacher), 20_000
    direct = recipe(generator={"kind": "direct", "steps": 1}, alpha={"kind": "constant", "value": 0.5}, steps=steps)
    before = teacher.rows
    taken = trial_seconds(problem, direct, lambda: float(teacher.rows))  # a second a row
    asked = (teacher.rows - before) / (4 * LEAST_STEPS)  # rows a step, if no more steps were run
    assert taken == pytest.approx(asked * steps, rel=0.05)


def test_the_command_line_takes_what_suits_the_machine(store, finished, tree, dfkd, tmp_path, monkeypatch):
    import yaml

    store.hand_out(tmp_path)
    asked = []

    def recorded_call(prepared, workers, recorded, left, folder, **how):
        asked.append((workers, recorded, left))
        return calibration.ParallelPlan(3, 1, "")

    monkeypatch.setattr("dfkd_tune.study.launch.choose_parallelism", recorded_call)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("group", trials=2, population=None)))
    ended = dfkd("study", "study.yaml", "--quiet")
    assert ended.status == 0, ended.err
    assert len(ended.out.strip().splitlines()) == 1
    assert dfkd("study", "study.yaml", "--n-trials", "3", "--quiet").status == 0
    assert asked == [(None, None, 2), (None, 3, 1)]
