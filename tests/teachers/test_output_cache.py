"""What a teacher answered is asked once: by one process for all, by no session again, and never of another teacher."""

import threading
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from dfkd_tune.errors import Interrupted
from dfkd_tune.evaluation.stress_bank import add_stress
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.presets import PAPER
from dfkd_tune.study.session import run_study
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.output_cache import Answers
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import FEATURES, Counting, network
from dfkd_tune.training.problem import KNOWN, Problem

pytestmark = pytest.mark.usefixtures("undrawn")

POOL, BANK = 300, 200
LIKE = replace(PAPER, steps=40, batch=20)


def made(folder, function, *about, check_cancelled=lambda: None) -> Problem:
    teacher, inputs = Teacher("tiny", function, torch.float64, "sha"), Inputs.unknown(FEATURES)
    found = replace(probe(teacher, inputs), differentiable=False)
    sizes = {"pool_rows": POOL, "bank_rows": BANK, "dtype": torch.float64}
    return Problem(
        teacher, inputs, found, **sizes, answers=Answers(folder, "sha", *about), check_cancelled=check_cancelled
    )


def same(one: Problem, other: Problem) -> bool:
    banks = [(one.banks[name], other.banks[name]) for name in one.banks]
    pairs = [(one.pool, other.pool), *banks]
    return all(torch.equal(a.z, b.z) and torch.equal(a.values, b.values) for a, b in pairs)


def test_a_second_process_asks_next_to_nothing(tmp_path):
    teacher = Counting(network())
    first = made(tmp_path, teacher)
    assert first.frozen_rows == POOL + 3 * BANK
    teacher.rows = 0
    second = made(tmp_path, teacher)
    asked = teacher.rows - 2_081  # what the probe asks
    assert asked <= KNOWN
    assert same(first, second)
    assert second.frozen_rows == first.frozen_rows  # counted once, whoever asked


def test_the_stress_bank_is_shared_with_what_it_took(tmp_path):
    one, other = made(tmp_path, network()), made(tmp_path, network())
    shared = tmp_path / "stress"
    add_stress(one, LIKE, answers=Answers(shared, "teacher", LIKE))
    before = other.queries
    add_stress(other, LIKE, answers=Answers(shared, "teacher", LIKE))
    assert other.queries - before == KNOWN
    assert same(one, other)
    assert other.frozen_rows == one.frozen_rows > POOL + 3 * BANK


def test_a_teacher_that_changed_behind_its_name_is_asked_again(tmp_path, caplog):
    made(tmp_path, network())
    changed = made(tmp_path, lambda x: 2 * network()(x) + 1)
    assert torch.allclose(changed.banks["report"].values, changed.answer(changed.banks["report"].z))
    assert "gives other outputs than before" in caplog.text
    assert changed.frozen_rows == POOL + 3 * BANK
    teacher = Counting(lambda x: 2 * network()(x) + 1)
    made(tmp_path, teacher)
    assert teacher.rows <= 2_081 + KNOWN  # what it says now is what is kept


def test_other_words_are_another_file(tmp_path):
    made(tmp_path, network(), "teacher a")
    made(tmp_path, network(), "teacher b")
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 99])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    first = made(tmp_path, network())
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(damage(file.read_bytes()))
    assert same(first, made(tmp_path, network()))
    assert "pool.z" in load_file(file)


def test_a_folder_that_takes_no_file_costs_nothing_but_the_sharing(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert made(tmp_path / "file" / "folder", network()).frozen_rows == POOL + 3 * BANK
    assert "teacher outputs are not cached" in caplog.text


def test_while_one_asks_the_others_wait_and_may_be_stopped(tmp_path):
    asking, go_on = threading.Event(), threading.Event()

    def slow(x):
        if len(x) == BANK:
            asking.set()
            go_on.wait(30)
        return network()(x)

    worker = threading.Thread(target=made, args=(tmp_path, slow))
    worker.start()
    assert asking.wait(30)

    def stop() -> None:
        raise Interrupted("study")

    with pytest.raises(Interrupted):
        made(tmp_path, network(), check_cancelled=stop)
    go_on.set()
    worker.join()
    teacher = Counting(network())
    made(tmp_path, teacher)
    assert teacher.rows <= 2_081 + KNOWN


def test_the_parent_run_counts_shared_rows_once(store, tiny):
    name, budget = "counted", {"pool": 500, "bank": 200}
    for trials in (2, 3):
        run_study(tiny(name, trials=trials, budget=budget), store.storage, store.tracking)
    (parent,) = store.runs(name, "study")
    counted = parent.data.metrics
    trials = store.trials(name)
    assert counted["study/trial_teacher_rows"] == sum(trial.user_attrs["teacher_rows"] for trial in trials) > 0
    assert counted["study/shared_teacher_rows"] > 500 + 4 * 200  # pool, banks, and what the reference students took
    assert parent.data.params["device"] == "cpu"
    assert parent.data.params["population"] == "2"
    assert parent.data.tags["dfkd.workers"] == "1"
