"""Any number of claims at the same time never exceed a total."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest

from dfkd_tune.errors import QueriesSpent
from dfkd_tune.search.queries.ledger import Ledger
from dfkd_tune.search.storage import open_storage


def ledgers(url: str, total: int, count: int) -> list[Ledger]:
    optuna.create_study(storage=open_storage(url), study_name="priced", load_if_exists=True)
    stores = [open_storage(url) for _ in range(count)]
    return [Ledger(store, optuna.load_study(study_name="priced", storage=store), total) for store in stores]


def claim_all(ledger: Ledger) -> list[tuple[int, int]]:
    got = []
    for rows in (7, 3, 5, 1) * 4:
        try:
            got.append((ledger.claim("prior", rows), rows))
        except QueriesSpent:
            continue
    return got


def test_claims_of_four_workers_are_exact_and_do_not_overlap(tmp_path):
    four = ledgers(f"sqlite:///{tmp_path}/optuna.db", 100, 4)
    with ThreadPoolExecutor(4) as pool:
        spans = sorted(span for got in pool.map(claim_all, four) for span in got)
    assert sum(rows for _, rows in spans) == 100 == sum(four[0].claimed().values())
    assert all(before + rows == after for (before, rows), (after, _) in itertools.pairwise(spans))
    with pytest.raises(
        QueriesSpent, match=r"1 more rows are needed \(round-1\), and 0 of 100 teacher queries are left"
    ):
        four[0].claim("round-1", 1)


def test_a_larger_total_goes_on(tmp_path):
    (small,) = ledgers(f"sqlite:///{tmp_path}/optuna.db", 10, 1)
    assert small.claim("prior", 10) == 0 and small.left == 0
    (large,) = ledgers(f"sqlite:///{tmp_path}/optuna.db", 15, 1)
    assert large.left == 5 and large.claim("prior", 5) == 10
