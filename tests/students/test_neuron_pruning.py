"""A wider student cut to size: what it costs nothing to cut, what is left, and what the start's budget is taken from."""

import pytest
import torch

from dfkd_tune.inputs.columns import Columns
from dfkd_tune.ops.activations import ACTIVATIONS
from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.neuron_pruning import prune
from dfkd_tune.testing.problems import make_problem, network, recipe
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import fidelity

WIDE = 9


def wide(activation, features=3, outputs=2):
    rng = torch.Generator().manual_seed(4)
    student = MLP(WIDE, activation=activation)
    shapes = student.shapes(Columns(features), outputs)
    return student, [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]


def rows(features=3):
    return torch.randn(400, features, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def answers(student, weights, z):
    return student.answer([w[None] for w in weights], z[None], Columns(z.shape[1]))[0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gradients", [0.0, 1.0])
def test_neurons_that_others_can_stand_for_cost_nothing(activation, gradients):
    """Three neurons are copies of others: without them, the output layer fitted anew answers the same."""
    student, weights = wide(activation)
    weights[0][:, 6:], weights[1][6:] = weights[0][:, :3], weights[1][:3]
    z = rows()
    kept = prune(student, weights, z, gradients, WIDE - 3)
    assert kept[0].shape == (3, WIDE - 3)
    torch.testing.assert_close(answers(student, kept, z), answers(student, weights, z), atol=1e-3, rtol=1e-3)


def test_what_is_left_are_neurons_as_they_were_and_the_best_output_layer_for_them():
    student, weights = wide("tanh")
    z = rows()
    first, bias, out, shift = prune(student, weights, z, 0.0, 4)
    whole = torch.cat([weights[0], weights[1][None]])
    for neuron in torch.cat([first, bias[None]]).T:
        assert (neuron == whole.T).all(1).any()
    seen = torch.cat([torch.tanh(z @ first + bias), torch.ones(len(z), 1, dtype=z.dtype)], dim=1)
    best = torch.linalg.lstsq(seen, answers(student, weights, z)).solution
    torch.testing.assert_close(torch.cat([out, shift[None]]), best, atol=1e-3, rtol=1e-3)


def test_a_silent_neuron_goes_first():
    student, weights = wide("tanh")
    weights[2][5] = 0.0
    first = prune(student, weights, rows(), 0.0, WIDE - 1)[0]
    assert not (weights[0][:, 5] == first.T).all(1).any()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_surplus_starts_nearer_to_the_teacher_and_is_paid_from_the_budget(depth):
    problem = make_problem(network(hidden=40))
    errors, steps = [], []
    for surplus in (0.0, 0.5):
        one = recipe(
            initializer={"kind": "neurons", "surplus": surplus},
            student={"width": 8, "depth": depth, "activation": "tanh"},
            loss={"kind": "sobolev"},
            steps=4_000,
            batch=100,
        )
        member = Member("a", one, 0)
        member.begin(problem)
        assert [tuple(w.shape) for w in member.weights] == [tuple(s) for s in one.student.shapes(Columns(4), 1)]
        errors.append(fidelity(problem, one, member.weights, problem.banks["selection"]).nrmse)
        steps.append(member.steps)
    if depth == 1:
        assert errors[1] < 0.8 * errors[0] and steps == [4_000, 2_800]
    else:
        assert errors[1] == errors[0] and steps == [4_000, 4_000]
