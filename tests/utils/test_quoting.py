"""Whatever is quoted in a message is short."""

import pytest

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.feature import Feature
from dfkd_tune.utils.quoting import named, quoted
from dfkd_tune.utils.strategy import build

LONG = {
    "a word": "a" * 10**6,
    "a list": list(range(10**5)),
    "a mapping": {f"k{i}": i for i in range(10**5)},
    "a number": 1 << 5000,
    "depth": [[[[[1]]]]],
}


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
def test_what_is_quoted_is_short(value):
    assert len(quoted(value)) < 500 and len(named(value)) < 100
    with pytest.raises(SpecError) as caught:
        build(Feature, {"name": "a", "range": value}, "x")
    assert len(str(caught.value)) < 1_000
