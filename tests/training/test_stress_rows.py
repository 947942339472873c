"""Rows of the stress bank: by the kind of teacher, unless the prior was inferred with its tails."""

import pytest
import torch
from torch import nn

from dfkd_tune.inputs.feature import Feature
from dfkd_tune.inputs.features_file import parse_features
from dfkd_tune.inputs.marginals.sinh_arcsinh import SinhArcsinh
from dfkd_tune.inputs.prior import InferredPrior, Inputs
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.fused.forward import with_fused_forward
from dfkd_tune.teachers.probe import probe
from dfkd_tune.testing.problems import network
from dfkd_tune.training.stress_rows import SKEWED, STRETCHED, WINDOWS, StressRows, stress_policy

UNKNOWN = Inputs.unknown(3)


def deep() -> nn.Module:
    torch.manual_seed(0)
    parts = nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1)
    return nn.Sequential(*parts).double().requires_grad_(False)


KINDS = {"shallow": lambda: network(features=3), "deep": deep, "black box": lambda: lambda x: torch.from_numpy(x.detach().numpy().sum(1))}  # fmt: skip


def probed(kind: str):
    found = probe(with_fused_forward(Teacher("t", KINDS[kind](), torch.float64, "sha")), UNKNOWN)
    assert found.kind == kind
    return found


@pytest.mark.parametrize("kind, rows", [("shallow", StressRows()), ("deep", SKEWED), ("black box", SKEWED)])
def test_teachers_that_are_unreliable_far_out_get_rows_like_measured_data(kind, rows):
    assert stress_policy(probed(kind), UNKNOWN) == rows


@pytest.mark.parametrize("kind, rows", [("shallow", StressRows()), ("deep", WINDOWS), ("black box", WINDOWS)])
def test_rows_over_windows_stay_nearer_to_the_prior(kind, rows):
    windows = parse_features({"window": {"steps": 3, "channels": ["a"]}}, "here")
    assert stress_policy(probed(kind), windows) == rows
    assert WINDOWS.weight < SKEWED.weight and WINDOWS.rows.spread < SKEWED.rows.spread


def test_tails_that_were_inferred_replace_those_that_are_assumed():
    found, zeros = probed("deep"), torch.zeros(3, dtype=torch.float64)
    by_quantiles = [Feature(name=n, quantiles={0.1: -1.0, 0.9: 2.0}) for n in "abc"]
    assert stress_policy(found, Inputs(by_quantiles, inferred=InferredPrior("trees", UNKNOWN))) == StressRows()
    shape = SinhArcsinh(torch.eye(3).double(), zeros, zeros)
    assert stress_policy(found, UNKNOWN.replaced(inferred=InferredPrior("layers", UNKNOWN, shape))) == STRETCHED
    # Without a word of the tails, they are as unknown as before.
    assert stress_policy(found, UNKNOWN.replaced(inferred=InferredPrior("scalers", UNKNOWN))) == SKEWED
