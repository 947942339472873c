"""Several processes may run one study, on a store that none of them finds made."""

import pytest
import yaml
from processes import command_line
from tiny_studies import Store
from whole_studies import assert_settled, run

from dfkd_tune.search.loaded import load_study

pytestmark = pytest.mark.usefixtures("undrawn")


def test_sessions_share_a_fresh_store(tmp_path, tree, start):
    """Three processes at once on a store that none of them finds made: two of one study, one of another."""
    processes = []
    for name in ("shared", "shared", "other"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(tree(name, trials=2, reruns=1)))
        processes.append(start(command_line, tmp_path, "study", f"{name}.yaml"))
    statuses = [process.wait() for process in processes]
    assert statuses == [0, 0, 0], [process.said for process in processes]
    for name in ("shared", "other"):
        assert_settled(Store(tmp_path), name, 2)
        reruns = [run.info.run_name for run in Store(tmp_path).runs(name, "rerun")]
        assert len(reruns) == len(set(reruns)) >= 2


def test_sessions_that_end_together_write_one_summary(store, tiny):
    """The second session does all the work while the first one still prepares; a further run of the command writes the summary again."""
    others = []

    def summary() -> dict:
        return load_study(store.storage, "twice").user_attrs["summary"]

    def work() -> bool:
        if not others:
            others.append(None)  # it is asked this question too
            others[0] = run(tiny("twice", trials=2, reruns=0), store), summary()
        return False

    done = run(tiny("twice", trials=2, reruns=0), store, should_stop=work)
    (other, earlier), seen = others[0], summary()
    assert seen == earlier and done.report == other.report > 0
    run(tiny("twice", trials=2, reruns=0), store)
    assert summary()["at"] > earlier["at"]
