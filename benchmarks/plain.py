"""The published loop, one trial at a time, from its equations: modules, autograd, ``torch.optim``, and nothing of this package.

It is the oracle that the population is tested against, and the yardstick that its speed is measured with.

Notation: teacher ``T``, student ``S``, synthetic rows ``x_g``, prior rows ``x_p``, ``m`` rows of each, ``E`` epochs of
``EPOCH`` student steps. Sources: Zhou & Chiam 2023 (``direct``), Kang & Kang 2021 (``adversarial``), both (``random``).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import RMSprop

EPOCH = 10
BETA = GAMMA = DECAY = 1e-5
NOISE, HIDDEN = 50, 500


def plain_distillation(
    teacher: Callable[[Tensor], Tensor],
    student: nn.Module,
    prior: Callable[[int], Tensor],
    kind: str = "direct",
    *,
    steps: int = 20_000,
    rows: int = 50,
    generator: nn.Module | None = None,
    noise: Callable[[int], Tensor] | None = None,
    rate: float = 1e-3,
    every: int = 0,
    rung: Callable[[int], None] = lambda step: None,
) -> nn.Module:
    """Train a student in place by the published algorithm, and return it.

    Args:
        teacher: differentiable, ``(n, D) -> (n, O)``, in the units the student learns.
        student: of the same shape.
        prior: ``n -> (n, D)`` fresh prior rows; each step asks for ``x_g``'s starting rows, then for ``x_p``.
        kind: ``random``, ``adversarial`` or ``direct``.
        steps: of the student.
        rows: ``m``; ``random`` takes ``2 m`` prior rows a step instead.
        generator: of ``adversarial``, such as ``generator_network`` makes.
        noise: ``n -> (n, NOISE)``, its input.
        rate: of the student's optimizer.
        every: steps between two calls of ``rung`` with the steps done; 0 for none.
    """
    optimizer = RMSprop(student.parameters(), lr=rate, weight_decay=DECAY)
    if kind == "adversarial":
        learner = RMSprop(generator.parameters(), lr=1e-3, weight_decay=DECAY)
    for step in range(steps):
        epoch, epochs = step // EPOCH, steps / EPOCH
        if kind == "random":
            x = prior(2 * rows)
            loss = _error(teacher, student, x)
        else:
            if kind == "direct":
                x = ascend(teacher, student, prior(rows))
            else:
                if step % EPOCH == 0:
                    _train_generator(teacher, student, generator, learner, noise(rows))
                with torch.no_grad():
                    x = generator(noise(rows))
            alpha = 1 - (epoch + 1) / epochs
            # eq. 5
            loss = alpha * _error(teacher, student, x) + (1 - alpha) * _error(teacher, student, prior(rows))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if every and (step + 1) % every == 0:
            rung(step + 1)
    return student


def ascend(teacher: Callable, student: nn.Module, x: Tensor) -> Tensor:
    """Two cold RMSprop steps from rows ``(m, D)`` on eq. 7, the decay of the inputs coupled (algorithm 1)."""
    x = x.clone().requires_grad_()
    optimizer = RMSprop([x], lr=0.1, weight_decay=BETA)
    for _ in range(2):
        (x.grad,) = torch.autograd.grad(_context(teacher, student, x), x)
        optimizer.step()
    return x.detach()


def generator_network(features: int) -> nn.Sequential:
    """The generator of Kang & Kang 2021."""
    return nn.Sequential(nn.Linear(NOISE, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, features))


def _train_generator(teacher, student, generator, learner, z: Tensor) -> None:
    x = generator(z)
    loss = _context(teacher, student, x) + BETA * x.square().sum()  # the published sum runs over the batch as well
    learner.zero_grad()
    loss.backward(inputs=list(generator.parameters()))
    learner.step()


def _context(teacher: Callable, student: nn.Module, x: Tensor) -> Tensor:
    """What synthetic rows minimize: ``mean[-(T - S)^2 + gamma S^2]``."""
    answers = student(x)
    return (-(teacher(x) - answers).square() + GAMMA * answers.square()).mean()


def _error(teacher: Callable, student: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        values = teacher(x)
    return (values - student(x)).square().mean()
