"""``rollback``: an alias goes back to the version before."""

import pytest
from asked import assert_refused
from mlflow import MlflowClient

pytestmark = pytest.mark.usefixtures("undrawn")


def test_rollback(dfkd, own):
    numbers = [trial.number for trial in own.trials("pump") if trial.state.name == "COMPLETE"][:2]
    for number in numbers:
        assert dfkd("register", "pump", "--model", "pump", "--trial", number, cwd=own.home).status == 0
    ended = dfkd("rollback", "pump", cwd=own.home)
    assert (ended.status, ended.out) == (0, "models:/pump@champion is version 1 again; it was version 2\n")
    assert MlflowClient(own.tracking).get_model_version_by_alias("pump", "champion").version == 1
    assert_refused(dfkd("rollback", "pump", cwd=own.home), "alias 'champion'", "no earlier version")
    assert_refused(dfkd("rollback", "none", cwd=own.home), "model 'none'", "known: pump")
    assert_refused(dfkd("remove", "pump", "--yes", cwd=own.home), "pump version 1", "delete the registered versions")
