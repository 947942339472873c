"""What commands print with ``--json`` is JSON."""

import json
import math

from dfkd_tune.utils.text.strict_json import dumps


def never(constant: str) -> None:
    raise AssertionError(constant)


def test_numbers_that_are_not_finite_become_null_wherever_they_are():
    value = {"a": math.inf, "b": [1.5, (math.nan, {"c": -math.inf})], "d": "inf", "e": None, "f": True}
    expected = {"a": None, "b": [1.5, [None, {"c": None}]], "d": "inf", "e": None, "f": True}
    assert json.loads(dumps(value), parse_constant=never) == expected
    assert json.loads(dumps(value, indent=1), parse_constant=never) == expected
