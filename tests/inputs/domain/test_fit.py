"""The guard lets rows of the declared inputs pass, in Python and in C, and no others."""

import ctypes
import math
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from dfkd_tune import Feature, Inputs
from dfkd_tune.export.formats.c.compiler import compiler
from dfkd_tune.export.formats.c.format import C
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.inputs.dependence.rank_correlation import RankCorrelation
from dfkd_tune.inputs.domain.fit import CORRELATED, SHARE, domain_of
from dfkd_tune.inputs.domain.rule import in_domain
from dfkd_tune.inputs.encoding import encoder

INPUTS = Inputs(
    [
        Feature("load", mean=100.0, std=20.0),
        Feature("flow", mean=1.0, std=0.5),
        Feature("share", range=[0.0, 1.0]),
        Feature("gear", levels=[1.0, 2.0, 5.0], nominal=False),
        Feature("site", levels=["north", "south", None]),
        Feature("heat", mean=20.0, std=5.0, missing=0.2),
    ]
)
GOOD = [100.0, 1.0, 0.5, 2.0, 1.0, 20.0]


@pytest.fixture(scope="module")
def tree() -> dict:
    found = domain_of(INPUTS, 0)
    assert found is not None
    return found.tree()


def changed(place: int, value: float) -> list[float]:
    return [*GOOD[:place], value, *GOOD[place + 1 :]]


CASES = [
    (GOOD, True),
    (changed(2, 1.1), False),
    (changed(2, -0.1), False),
    (changed(2, 1.0), True),
    (changed(3, 3.0), False),
    (changed(3, 5.0), True),
    (changed(4, 1.5), False),
    (changed(4, math.nan), True),
    (changed(5, math.nan), True),
    (changed(0, math.nan), False),
    (changed(0, 100.0 + 20 * 3), True),
    (changed(0, 100.0 + 20 * 9), False),
    (changed(0, math.inf), False),
    (changed(1, -1e30), False),
]


@pytest.mark.parametrize("row, inside", CASES)
def test_a_row_is_judged_by_support_levels_and_distance(tree, row, inside):
    assert in_domain(tree, np.array([row])).tolist() == [inside]


def test_rows_of_the_prior_pass_as_often_as_is_said(tree):
    x = INPUTS.raw(INPUTS.draw(20_000, torch.Generator().manual_seed(9))).numpy()
    assert float(in_domain(tree, x).mean()) == pytest.approx(SHARE, abs=1e-3)


def test_what_does_not_go_together_is_far():
    """Each of the two values is usual by itself."""
    features = [Feature("a", mean=0.0, std=1.0), Feature("b", mean=0.0, std=1.0)]
    together, apart = (
        domain_of(Inputs(features, dependence=each), 0).tree() for each in (RankCorrelation([[1], [0.95, 1]]), None)
    )
    row = np.array([[2.0, -2.0]])
    assert not in_domain(together, row)[0] and in_domain(apart, row)[0]
    assert in_domain(together, -abs(row))[0]


def test_many_features_have_distances_without_correlations():
    many = Inputs([Feature(f"x{i}", mean=0.0, std=1.0) for i in range(CORRELATED + 1)])
    found = domain_of(many, 0)
    assert found.whitening is None and in_domain(found.tree(), np.zeros((1, CORRELATED + 1)))[0]
    assert domain_of(Inputs([Feature(f"x{i}") for i in range(2_000)]), 0) is None


@pytest.mark.parametrize("whitened", [True, False])
def test_c_judges_alike(tree, whitened, tmp_path):
    if compiler() is None:
        pytest.skip("no compiler")
    domain = tree if whitened else tree | {"whitening": None}
    encoding = encoder(INPUTS).encoding
    network = nn.Sequential(encoding.module(), nn.Linear(encoding.width, 1)).eval()
    x = torch.cat(
        [INPUTS.raw(3 * INPUTS.draw(2_000, torch.Generator().manual_seed(3))), torch.tensor([r for r, _ in CASES])]
    )
    x = x.to(encoding.torch_dtype)
    units = InputSchema(INPUTS.names, encoding, x[:9], domain=domain)
    source = C(guard=True).write(network, units)
    (tmp_path / "x.c").write_bytes(source)
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*compiler(), *flags, tmp_path / "x.c", "-o", tmp_path / "x.so", "-lm"], check=True)
    judge = ctypes.CDLL(str(tmp_path / "x.so")).student_in_domain
    rows = np.ascontiguousarray(x.numpy())
    found = [bool(judge(ctypes.c_void_p(row.ctypes.data))) for row in rows]
    expected = in_domain(domain, rows).tolist()
    assert 100 < sum(found) < 1_900 and found == expected
    assert b"student_in_domain" not in C().write(network, units)
