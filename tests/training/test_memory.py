"""Rows are sized to the memory that is left, before anything is drawn; what a machine has left is read from where it is said."""

import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
import torch
import yaml
from costly import LOG, costly_tree
from torch import nn

from dfkd_tune.errors import MachineError
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.assistants import NoAssistant, Wider
from dfkd_tune.recipes.presets import FAITHFUL, FEW_QUERIES
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import needs, prepare, sized
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import FEATURES, network
from dfkd_tune.training.memory import fit, need, reduced
from dfkd_tune.utils import hardware

MIB = 2**20


def needed(features: int = FEATURES, outputs: int = 1, bank: int = 8_000):
    """Need and probe of a tiny network as a teacher that answers at once."""
    module, inputs = network(outputs, features), Inputs.unknown(features)
    teacher = Teacher("tiny", module, next(module.parameters()).dtype, "sha")
    found = replace(probe(teacher, inputs), rows_per_second=1e9)
    return need(teacher, inputs, found, FAITHFUL, bank), found


def test_a_pool_shrinks_with_the_room_and_never_grows():
    about, found = needed()
    whole = fit(about, found, 8, 2**40)
    assert (whole.pool, whole.gradients, whole.shrunk) == (65_536, True, None)
    room, last = whole.bytes, whole
    while (sizes := fit(about, found, 8, room - 1)) is not None:
        assert sizes.bytes < room
        assert (sizes.gradients, sizes.pool) < (last.gradients, last.pool) or not sizes.gradients
        assert sizes.pool <= whole.pool
        room, last = sizes.bytes, sizes
    assert (last.pool, last.gradients) == (1_024, False)
    assert "pool of 1,024 rows instead of 65,536" in last.shrunk


def test_an_assistant_takes_room_for_its_students_and_their_rows():
    module, inputs = network(), Inputs.unknown(FEATURES)
    teacher = Teacher("tiny", module, torch.float64, "sha")
    found = probe(teacher, inputs)
    sizes = [
        need(teacher, inputs, found, replace(FEW_QUERIES, assistant=each), 200).member
        for each in (NoAssistant(), Wider(), Wider(members=3), Wider(members=3, rows=10**6))
    ]
    assert sizes == sorted(set(sizes))
    assert sizes[3] - sizes[2] >= (10**6 - 20_000) * (FEATURES + 1) * 4


def test_gradients_are_given_up_only_after_most_rows_were():
    about, found = needed(features=40, outputs=10)
    sparse = about.bytes(8_192, True, 8)
    assert fit(about, found, 8, sparse).gradients
    assert not fit(about, found, 8, sparse - 1).gradients


def test_what_is_asked_for_does_not_shrink():
    about, found = needed()
    most = about.bytes(50_000, False, 8)
    assert fit(about, found, 8, most, pool=50_000).pool == 50_000
    assert fit(about, found, 8, most - 1, pool=50_000) is None


def test_more_of_anything_takes_more():
    about, _ = needed()
    least = about.bytes(8_192, False, 1)
    wide, _ = needed(features=3 * FEATURES)
    banks, _ = needed(bank=80_000)
    for more in (
        about.bytes(16_384, False, 1),
        about.bytes(8_192, True, 1),
        about.bytes(8_192, False, 4_096),
        wide.bytes(8_192, False, 1),
        banks.bytes(8_192, False, 1),
    ):
        assert more > least


def test_a_wide_teacher_is_weighed_by_its_layers():
    inputs = Inputs.unknown(4)
    rows = []
    for width in (64, 4_096):
        module = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1)).requires_grad_(False)
        teacher = Teacher("wide", module, module[0].weight.dtype, "sha")
        rows.append(need(teacher, inputs, probe(teacher, inputs), FAITHFUL, 100).teacher_row)
    assert rows[1] > 50 * rows[0]
    assert rows[1] >= 2 * 2 * 4_096 * 4  # a hidden layer and its activation, and the way back


def test_a_study_without_room_is_refused_in_one_line(tiny, monkeypatch):
    prepared = tiny("crowded", budget={"pool": None})
    least = needs(prepared).bytes(1_024, False, prepared.population)
    monkeypatch.setattr(hardware, "memory", lambda: 2 * least)
    assert sized(prepared).pool >= 1_024
    monkeypatch.setattr(hardware, "memory", lambda: least // 2)
    with pytest.raises(MachineError, match=r"^crowded: needs about \d+ MiB a process for its rows, \d+ MiB are left; "):
        tiny("crowded", budget={"pool": None})


@pytest.mark.parametrize("total", [None, 400])
@pytest.mark.parametrize(
    ("assistant", "leaf"),
    [({"times": 64, "rows": 100}, "times"), ({"rows": 10**7}, "rows"), ({"members": 32, "times": 1}, "members")],
    ids=str,
)
def test_an_assistant_without_room_is_refused_by_its_leaf_and_the_value_that_is_told_fits(
    total, assistant, leaf, tmp_path, monkeypatch
):
    monkeypatch.setenv(LOG, str(tmp_path / "asked.txt"))
    monkeypatch.setattr(hardware, "memory_of", lambda device: 2**40)
    tree = costly_tree("crowded", tmp_path, total) | {"assistant": {"kind": "wider", **assistant}}
    tree |= {"student": {"max_parameters": 5_001}, "budget": tree["budget"] | ({} if total else {"pool": 500})}
    alone = tree | {"assistant": {"kind": "none"}}
    middle = sum(prepare(parse_spec(each, "crowded")).sizes.bytes for each in (alone, tree)) // 2
    monkeypatch.setattr(hardware, "memory_of", lambda device: middle)
    with pytest.raises(
        MachineError, match=rf"^crowded: assistant.{leaf}: needs .* MiB are left; \d+ would fit$"
    ) as refused:
        prepare(parse_spec(tree, "crowded"))
    tree["assistant"][leaf] = int(refused.value.remedy.split()[0])
    assert prepare(parse_spec(tree, "crowded")).sizes.bytes <= middle


def test_an_assistant_is_halved_where_that_is_enough_and_never_below_what_it_may_have():
    many = Wider(times=8, members=4, rows=1_000)
    assert reduced(many, lambda each: each.members * each.times <= 8) == ("times", 2)
    assert reduced(many, lambda each: each.rows <= 250) == ("rows", 250)
    assert reduced(many, lambda each: each.rows < 100) is None
    assert reduced(NoAssistant(), lambda each: False) is None


def test_nothing_that_a_total_forbids_is_the_remedy_within_one(tmp_path, monkeypatch):
    monkeypatch.setenv(LOG, str(tmp_path / "asked.txt"))
    tree = costly_tree("crowded", tmp_path, 400, trials=64) | {"student": {"max_parameters": 5_001}}
    tree |= {"assistant": {"kind": "none"}}
    need = prepare(parse_spec(tree, "crowded")).sizes.bytes
    monkeypatch.setattr(hardware, "memory_of", lambda device: need - 1)
    with pytest.raises(MachineError, match=r"study\.population: 1 would fit"):
        prepare(parse_spec(tree, "crowded"))
    tree["study"]["population"] = 1
    assert prepare(parse_spec(tree, "crowded")).sizes.bytes < need
    monkeypatch.setattr(hardware, "memory_of", lambda device: 1)
    with pytest.raises(MachineError, match=r"lower budget\.batch or student\.max_parameters"):
        prepare(parse_spec(tree, "crowded"))


def test_processes_share_what_is_left(tiny, monkeypatch):
    prepared = tiny("shared", budget={"pool": None})
    monkeypatch.setattr(hardware, "memory", lambda: 16 * 2**30)
    assert sized(prepared, 2).pool == prepared.sizes.wanted
    with pytest.raises(MachineError):
        sized(prepared, 60)  # each brings its libraries


def test_check_names_the_pool_that_memory_allows(tree, dfkd, tmp_path, monkeypatch):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree("small", budget={"pool": None, "bank": 8_000})))
    monkeypatch.setattr(hardware, "memory", lambda: 6 * MIB)
    ended = dfkd("check", "study.yaml", "--no-estimate")
    assert ended.status == 0, ended.err
    assert "rows instead of 65,536, as memory is short" in ended.out
    monkeypatch.setattr(hardware, "memory", lambda: MIB)
    ended = dfkd("check", "study.yaml", "--no-estimate")
    assert ended.status == 1
    assert "needs about" in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_the_limit_of_a_process_counts():
    code = (
        "import resource, psutil\n"
        "from dfkd_tune.utils import hardware\n"
        "now = psutil.Process().memory_info().vms\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 2**28, now + 2**28))\n"
        "print(hardware.memory())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 2**28 - 64 * MIB <= int(said) <= 2**28


@pytest.fixture
def group(tmp_path, monkeypatch):
    """The folder of a control group's files, empty."""
    monkeypatch.setattr(hardware, "CGROUP", tmp_path)
    return tmp_path


def test_a_control_group_limits_memory(group):
    free = psutil.virtual_memory().available
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("5\n")
    assert hardware.memory() > free / 2
    (group / "memory.max").write_text(f"{100 * MIB}\n")
    (group / "memory.current").write_text(f"{70 * MIB}\n")
    assert hardware.memory() == 30 * MIB
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {20 * MIB}\n")
    assert hardware.memory() == 50 * MIB
