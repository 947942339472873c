"""A teacher's assistant in a study with a total: no row more is asked, also if the study is stopped and resumed."""

import pytest
from costly import asked, costly_tree, run

from dfkd_tune.errors import Interrupted
from dfkd_tune.reporting.findings import find
from dfkd_tune.reporting.summary_text import trained_rows
from dfkd_tune.search.attributes import StudyRecord
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.ranking import Score, top_candidates
from dfkd_tune.search.recorded_recipes import recipe_of
from dfkd_tune.search.study_file import parse_spec
from dfkd_tune.study.prepare import prepare
from dfkd_tune.study.session import run_study

pytestmark = pytest.mark.usefixtures("undrawn")
HELPED = {"assistant": {"kind": "wider", "times": 2, "rows": 500}, "checkpoint": {"kind": "last"}}


def tree_of(name, folder, **sections) -> dict:
    return costly_tree(name, folder, 400, trials=2, reruns=0, seed=5) | sections


def test_an_assistant_costs_no_row(store, log, tmp_path):
    spent = []
    for name, sections in (("costly-alone", {}), ("costly-helped", HELPED)):
        before = asked(log)
        assert run(store, tree_of(name, tmp_path, **sections)).promoted is not None
        queries = StudyRecord.of(load_study(store.storage, name)).queries
        spent.append((asked(log) - before, queries))
    assert spent[0] == spent[1] and spent[1][0] <= 400
    trials = store.trials("costly-helped")
    assert {type(recipe_of(trial).assistant).__name__ for trial in trials} == {"Wider"}
    assert all(trial.user_attrs["answered_rows"] < 400 < HELPED["assistant"]["rows"] for trial in trials)


def labels_of(store, name: str) -> dict[str, list[tuple[str, str | None]]]:
    """Kind of run -> assistant and members of each, as MLflow has them."""
    told = ("assistant.kind", "assistant.members")
    kinds = ("trial", "rerun", "baseline")
    return {
        kind: [tuple(run.data.params.get(each) for each in told) for run in store.runs(name, kind)] for kind in kinds
    }


def test_by_default_the_students_of_the_trials_label_for_the_re_runs(store, log, tmp_path):
    spent, ended = [], []
    for name, sections in (("costly-own", {"assistant": {"kind": "none"}}), ("costly-committee", {})):
        before = asked(log)
        assert run(store, costly_tree(name, tmp_path, 400, trials=2, seed=5) | sections).promoted.run.startswith(
            "rerun"
        )
        spent.append(asked(log) - before)
        ended.append([run.data.metrics["robust"] for kind in ("trial", "rerun") for run in store.runs(name, kind)])
    assert spent[0] == spent[1] <= 400
    (first, second, rerun), (*same, other) = ended
    assert same == [first, second] and other != rerun
    none = ("none", None)
    assert labels_of(store, "costly-committee") == {
        "trial": [none] * 2,
        "rerun": [("committee", "2")],
        "baseline": [none],
    }
    found = find(load_study(store.storage, "costly-committee"))
    assert "The re-runs also train on rows that the students of the best trials labeled." in trained_rows(found)
    assert "labeled" not in trained_rows(find(load_study(store.storage, "costly-own")))


def test_few_different_inputs_need_no_committee(store, log, tmp_path):
    """Every one of them is answered, so that a label of a student would be worse."""
    tree = costly_tree("costly-unlabeled", tmp_path, 400, trials=2, seed=5)
    (tmp_path / "features.yaml").write_text(
        "features:\n" + "".join(f"- {{name: {name}, levels: [0, 1, 2]}}\n" for name in "abc")
    )
    run(store, tree)
    assert {*labels_of(store, "costly-unlabeled")["rerun"]} == {("none", None)}


def test_leaders_are_run_again_with_the_committee_of_all_trials_when_trials_are_added(store, log, tmp_path):
    for trials in (2, 4):
        run(store, costly_tree("costly-longer", tmp_path, 400, trials=trials, leaders=3, reruns=1, seed=5))
        study = load_study(store.storage, "costly-longer")
        known, leading = StudyRecord.of(study), top_candidates(study, 3)
        assert known.committee == trials
        for leader in leading:
            alike = [
                score for each in known.reruns[leader.key].values() if (score := Score.of(each)).rows == known.answered
            ]
            assert alike[-1].committee == (0 if leader.trial is None else trials)
    assert asked(log) <= 400


@pytest.mark.parametrize("looks", [2, 30])
def test_a_study_that_was_stopped_goes_on_to_the_same_students(store, log, tmp_path, looks):
    """While assistants train, and while their students do."""
    whole = run(store, tree_of(f"costly-unstopped-{looks}", tmp_path, **HELPED))
    tree, seen = tree_of(f"costly-stopped-{looks}", tmp_path, **HELPED), []

    def stop() -> bool:
        seen.append(None)
        return len(seen) > looks

    prepared = prepare(parse_spec(tree, "costly"), storage_url=store.storage)
    with pytest.raises(Interrupted):
        run_study(prepared, store.storage, store.tracking, should_stop=stop)
    assert not any(trial.state.is_finished() for trial in load_study(store.storage, tree["study"]["name"]).trials)
    assert run(store, tree).best == whole.best
