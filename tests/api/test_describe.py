"""``describe`` in Python: what it takes, and every mistake by its argument."""

import numpy as np
import pandas as pd
import pytest
from asked import fails

import dfkd_tune as dt
from dfkd_tune.errors import FeaturesError


def test_windows_in_python():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 2)).cumsum(0), columns=["temp", "flow"])
    assert dt.describe(frame, window=4).tree()["window"]["steps"] == 4
    for words, mistake in (
        ("group and time are about windows", {"group": "temp"}),
        ("whole number from 2", {"window": 1}),
    ):
        with pytest.raises(FeaturesError, match=f"describe: window: .*{words}"):
            dt.describe(frame, **mistake)
    with pytest.raises(FeaturesError, match="window: no 400 rows follow each other"):
        dt.describe(frame, window=400)


FRAME = pd.DataFrame({"load": np.arange(100.0), "gear": np.arange(100) % 3, "y": np.ones(100)})


def test_a_frame_is_described_as_its_file_is(tmp_path):
    FRAME.to_csv(tmp_path / "table.csv", index=False)
    told = dt.describe(FRAME, targets=["y"])
    assert told.tree() == dt.describe(str(tmp_path / "table.csv"), targets=["y"]).tree()
    assert [each["name"] for each in told.tree()["features"]] == ["load", "gear"]


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ({"data": np.zeros((30, 2))}, "describe: data", "pandas.DataFrame(array, columns=names)"),
        ({"data": pd.DataFrame({"a": [{1}] * 30})}, "describe: data: a", "must hold numbers or words"),
        ({"tier": "all"}, "describe: tier", "unknown tier 'all'; known: moments, quantiles, correlation"),
        ({"data": FRAME.assign(z=np.nan)}, "describe: data: z", "holds no value; leave it out with targets="),
    ],
)
def test_a_mistake_is_told_by_its_argument(given, place, words):
    with fails(place, words, kind=FeaturesError):
        dt.describe(**{"data": FRAME} | given)


def test_differential_privacy_in_python():
    pytest.importorskip("opendp")
    bounds = {"load": {"range": [0, 100]}, "gear": dt.Feature("gear", levels=[0.0, 1.0, 2.0])}
    with pytest.warns(UserWarning, match="^describe: about .* are few for epsilon 0.1; .*or raise epsilon"):
        told = dt.describe(FRAME, targets=["y"], epsilon=0.1, bounds=bounds)
    assert [each["name"] for each in told.tree()["features"]] == ["load", "gear"]
    assert "epsilon 0.1" in told._repr_html_()
    with pytest.warns(UserWarning, match="are few for epsilon 1; "):
        assert "epsilon 1" in dt.describe(FRAME, targets=["y"], epsilon=1, bounds=bounds)._repr_html_()
    for given, place, words in (
        ({"epsilon": 1.0}, "describe: epsilon", "give bounds with"),
        ({"bounds": bounds}, "describe: bounds", "give epsilon"),
        ({"epsilon": 1.0, "bounds": {"load": {"range": [0, 100]}}}, "describe: bounds: gear", "has no bounds"),
        ({"epsilon": 1.0, "bounds": bounds, "missing": "drop"}, "describe: missing", "leave it out"),
        ({"epsilon": 0.0, "bounds": bounds}, "describe: epsilon", "greater than 0"),
    ):
        with fails(place, words, kind=FeaturesError):
            dt.describe(FRAME, **{"targets": ["y"]} | given)
