"""Parts of a total are told in one order, whenever they were claimed."""

import random

from dfkd_tune.teachers.metering.parts import in_order, round_name


def test_parts_are_told_in_their_order_whenever_they_were_claimed():
    order = ["opening", "report", "prior", "stress", *(round_name(i) for i in range(1, 13)), "again", "certificate"]
    claimed = [(part, rows) for rows, part in enumerate(order)]
    random.Random(0).shuffle(claimed)
    assert [*in_order(dict(claimed)).items()] == [(part, rows) for rows, part in enumerate(order)]
    assert round_name(3) == "round-3"
