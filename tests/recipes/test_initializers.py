"""Initial weights: an output layer that is fitted, and a first layer of the teacher's neurons."""

from types import SimpleNamespace

import pytest
import torch

from dfkd_tune.recipes.initializers import Neurons, Random, _centers
from dfkd_tune.students.mlp import MLP
from dfkd_tune.students.rbf import RBF
from dfkd_tune.students.shrinking import RIDGE
from dfkd_tune.testing.problems import make_problem, network, recipe, rng

HIDDEN = 8
"""Neurons of the teacher."""


@pytest.fixture(scope="module")
def problem():
    """One whose teacher's layers can be read."""
    return make_problem(quick=True)


def begun(problem, start, student):
    one = recipe(initializer=start, student=student)
    weights = one.initializer.init(problem.init_context(one), rng())
    answers = student.answer([w.unsqueeze(0) for w in weights], problem.pool.z.unsqueeze(0), problem.columns)[0]
    return weights, float((answers - problem.pool.values).square().mean())


@pytest.mark.parametrize("student", [MLP(width=5), MLP(width=3, depth=2), MLP(width=HIDDEN + 3)])
def test_the_output_layer_is_the_ridge_regression_on_its_features(problem, student):
    weights, loss = begun(problem, Neurons(), student)
    hidden = student.hidden([w.unsqueeze(0) for w in weights], problem.pool.z.unsqueeze(0), problem.columns)[0]
    seen = torch.cat([hidden, torch.ones(len(hidden), 1, dtype=hidden.dtype)], dim=1)
    fitted = torch.cat([weights[-2], weights[-1][None]])
    normal = seen.T @ (problem.pool.values - seen @ fitted) / len(seen)
    torch.testing.assert_close(normal, RIDGE * fitted, rtol=1e-6, atol=1e-9)
    assert loss < begun(problem, Random(), student)[1]


def test_with_all_but_one_neuron_most_of_them_are_its_own(problem):
    (first, bias, *_), _ = begun(problem, Neurons(), MLP(width=HIDDEN - 1))
    own = torch.cat([first, bias[None]]).T
    theirs = problem.neurons[0]
    apart = torch.cdist(own, theirs).amin(1)
    assert int((apart < 1e-9).sum()) == HIDDEN - 2  # two are one cluster


@pytest.mark.parametrize("more", [0, 3])
def test_a_student_with_room_for_all_neurons_begins_as_the_teacher(problem, more):
    (first, bias, *_), loss = begun(problem, Neurons(), MLP(width=HIDDEN + more))
    torch.testing.assert_close(torch.cat([first, bias[None]]).T[:HIDDEN], problem.neurons[0])
    assert loss < 1e-5 * float(problem.pool.values.var())


def test_neurons_that_the_teacher_has_twice_take_one_place(problem, monkeypatch):
    """With room for the different ones, all of them are there, and nothing is clustered."""
    neurons, share = problem.neurons
    twice = torch.cat([neurons, neurons[:3]]), torch.cat([share, share[:3]])
    context = SimpleNamespace(first_layer=lambda: twice)
    monkeypatch.setattr("sklearn.cluster.KMeans.fit", None)
    first, bias = _centers(context, HIDDEN, torch.Generator())
    mine = torch.cat([first, bias[None]]).T
    assert mine.shape == neurons.shape and float(torch.cdist(mine, neurons).amin(1).max()) == 0


def test_a_student_that_tells_no_last_hidden_layer_starts_as_drawn(problem):
    weights, _ = begun(problem, Neurons(), RBF(width=4))
    drawn, _ = begun(problem, Random(), RBF(width=4))
    assert all(map(torch.equal, weights, drawn))


@pytest.mark.parametrize(
    "start, student, share",
    [
        (Neurons(surplus=0.5), MLP(width=4), 0.3),
        (Neurons(), MLP(width=4), 0.0),
        (Neurons(surplus=0.5), MLP(width=4, depth=2), 0.0),
        (Neurons(surplus=0.5), RBF(width=4), 0.0),
    ],
)
def test_only_a_wider_student_of_one_layer_is_trained_before(problem, start, student, share):
    assert start.budget_fraction(student) == share


def test_neurons_without_readable_layers_are_random_with_a_fitted_output():
    problem = make_problem(lambda x: network()(x))
    (first, *_), loss = begun(problem, Neurons(), MLP(width=4))
    (drawn, *_), plain = begun(problem, Random(), MLP(width=4))
    assert torch.equal(first, drawn) and loss < plain
