"""A study is prepared from its file: what it searches, and what is refused before its teacher is asked."""

import pytest
from asked import fails
from costly import LOG, asked, costly_tree, run

from dfkd_tune.errors import DfkdError, MachineError, SpecError, StudyMismatch
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import before_asking, prepare
from dfkd_tune.teachers.loader import load_teacher


def test_the_default_space_tries_small_students(tree):
    def widths(**about):
        made = tree("widths", student={"max_parameters": 1000}, **about)
        del made["search"]
        return prepare(parse_spec(made, "widths")).space.domains["student.width"]

    plain, wide = widths(), widths(pareto="parameters")
    assert (plain.high, wide.high) == (199, 199)
    assert (plain.low, wide.low) == (197, 10) and wide.log


@pytest.fixture
def log(tmp_path, monkeypatch):
    file = tmp_path / "asked.txt"
    monkeypatch.setenv(LOG, str(file))
    return file


@pytest.mark.parametrize(
    "change",
    [
        {"generator": {"kind": "direct"}},
        {"student": {"max_parameters": 4}},
        {"student": {"compression": 10}},
        {"sampler": "cmaes", "study": {"name": "costly-refused", "pareto": "parameters"}},
        {"search": {"student.depth": [1, 2], "optimizer.momentum": [0.5]}},
    ],
    ids=str,
)
def test_a_refused_study_has_asked_nothing_and_leaves_nothing(log, tmp_path, change):
    tree = costly_tree("costly-refused", tmp_path, 500) | change
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SpecError):
        prepare(parse_spec(tree, "costly"), storage_url=f"sqlite:///{tmp_path}/optuna.db")
    assert asked(log) == 0 and sorted(tmp_path.rglob("*")) == before


def test_a_refused_resume_changes_nothing(store, log, tmp_path, undrawn):
    run(store, costly_tree("costly-kept", tmp_path, 400, trials=1, reruns=0))
    before, spent = dict(load_study(store.storage, "costly-kept").user_attrs), asked(log)
    features = tmp_path / "features.yaml"
    for change in ({"study": {"name": "costly-kept", "seed": 5}}, {"student": {"max_parameters": 99}}, "features"):
        tree = costly_tree("costly-kept", tmp_path, 900, trials=1, reruns=0)
        if change == "features":
            features.write_text("features: [a, b, {name: c, mean: 3, std: 1}]\n")
        with pytest.raises(StudyMismatch):
            run(store, tree | (change if isinstance(change, dict) else {}))
    assert load_study(store.storage, "costly-kept").user_attrs == before and asked(log) == spent


def test_a_study_that_failed_at_its_teacher_may_have_a_lower_total(log, tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    tree = costly_tree("costly-failed", tmp_path, 900)
    (tmp_path / "features.yaml").write_text("features: [a, b]\n")
    with pytest.raises(DfkdError):
        prepare(parse_spec(tree, "costly"), storage_url=url)
    tree = costly_tree("costly-failed", tmp_path, 500)
    total = prepare(parse_spec(tree, "costly"), storage_url=url).total
    assert total.ledger.total == 500 and sum(total.ledger.claimed().values()) == asked(log) > 0
    assert StudyRecord.of(total.ledger.study).total_queries is None


def test_the_parameters_of_a_network_are_counted_within_a_total(tmp_path, small_teacher):
    (tmp_path / "features.yaml").write_text("features: [a, b, c]\n")
    given = {"study": {"name": "counted"}, "teacher": small_teacher, "student": {"compression": 2}}
    given["features"] = str(tmp_path / "features.yaml")
    space = prepare(parse_spec(given | {"budget": {"total_queries": 400}}, "counted")).space
    assert space.max_parameters == prepare(parse_spec(given, "counted")).space.max_parameters


def test_a_check_asks_what_it_takes_a_study_to_know_its_teacher(log, tmp_path):
    """A row that is asked for two purposes is answered once, if its answer is kept."""
    tree = costly_tree("costly-alike", tmp_path, 500) | {"teacher": "costly:filled"}
    (tmp_path / "features.yaml").write_text("features: [{name: a, mean: 1, std: 2, missing: 0.2}, b, c]\n")
    before = sorted(tmp_path.rglob("*"))
    checked = prepare(parse_spec(tree, "costly")).teacher.guard.meter.asked
    log.unlink()
    assert sorted(tmp_path.rglob("*")) == before
    total = prepare(parse_spec(tree, "costly"), storage_url=f"sqlite:///{tmp_path}/optuna.db").total
    assert total.ledger.claimed() == {"opening": checked} and asked(log) == checked - 1  # which saw tensors, and failed


def test_what_is_known_before_a_teacher_is_asked(log, tmp_path):
    spec = parse_spec(costly_tree("costly-before", tmp_path, 500), "costly")
    teacher, inputs = before_asking(spec, load_teacher("costly:answer"), "cpu")
    assert inputs.names == ["a", "b", "c"] and asked(log) == 0 and teacher.chain is None
    with fails("--device cuda", "cuda", kind=MachineError):
        before_asking(spec, load_teacher("costly:answer"), "cuda")
