"""Deep and recurrent teachers: a step of eight members, against the loop as one writes it in PyTorch, and against its floor.

    python benchmarks/deep.py --publish

All of a round is measured in short slices, one after another, and a ratio is one of a round: the machine's own speed drifts.
Everything is told in processor time of one thread. Weights are random, because no speed depends on them. A teacher is loaded from
its file, as a study loads it; the loop calls the module. Boosted trees have no input gradients, so that both loops train on prior
rows; ours labels the pool once for all trials of a study, which is not counted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import figures
import numpy as np
import torch
from figures import Measured
from floor import Pass, chain, floor_of
from kinds import perceptron
from plain import plain_distillation
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.ops.pt2_archive import call_to_pt2, free_batch
from dfkd_tune.recipes.presets import PAPER, RANDOM
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.black_box import from_estimator
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.probe import probe
from dfkd_tune.training.member import Member
from dfkd_tune.training.population import Population
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import hardware

MEMBERS, POOL, BANK = 8, 4_096, 1_000
FEATURES, WINDOW = (12,), (24, 6)
STEPS, CHANNELS = WINDOW
UNITS, TAPS = 64, 3
TREES = 200


class Recurrent(nn.Module):
    """A layer of gated recurrent units, and a linear layer on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(CHANNELS, UNITS, batch_first=True), nn.Linear(UNITS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x)[0][:, -1])


class Convolutional(nn.Module):
    """Two convolutions with batch normalization, the mean over all steps, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        first = nn.Conv1d(CHANNELS, UNITS, TAPS, padding=1), nn.BatchNorm1d(UNITS), nn.ReLU()
        self.layers = nn.Sequential(*first, nn.Conv1d(UNITS, UNITS, TAPS, padding=1), nn.ReLU())
        self.out = nn.Linear(UNITS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layers(x.transpose(1, 2)).mean(2))


def _recurrent(rows: int) -> Pass:
    sizes = [(STEPS, rows, CHANNELS, 3 * UNITS), (STEPS, rows, UNITS, 3 * UNITS), (1, rows, UNITS, 1)]
    return Pass(sizes, 3 * STEPS * rows * UNITS)


def _convolutional(rows: int) -> Pass:
    sizes = [(STEPS, rows, TAPS * width, UNITS) for width in (CHANNELS, UNITS)]
    return Pass([*sizes, (1, rows, UNITS, 1)], 2 * STEPS * rows * UNITS, torch.relu_)


@dataclass(frozen=True)
class Kind:
    """A kind of teacher.

    Args:
        make: makes the module with random weights; None for boosted trees.
        shape: shape of one row of its argument.
        forward: what a pass over a number of rows must compute; None if there is no floor.
    """

    make: Callable[[], nn.Module] | None
    shape: tuple[int, ...]
    forward: Callable[[int], Pass] | None


def layers(outputs: int, widths: list[int], activation: type[nn.Module]) -> Callable[[], nn.Module]:
    """A function that makes a chain of linear layers."""
    return lambda: perceptron(*FEATURES, outputs, widths, lambda _: [activation()])


KINDS = {
    "1 x 500 tanh": Kind(layers(1, [500], nn.Tanh), FEATURES, chain(12, 500, 1)),
    "3 x 256 ReLU": Kind(layers(1, [256] * 3, nn.ReLU), FEATURES, chain(12, 256, 256, 256, 1, activation=torch.relu_)),
    "2 x 256 SiLU, three outputs": Kind(layers(3, [256] * 2, nn.SiLU), FEATURES, chain(12, 256, 256, 3)),
    "GRU of 64 over windows (24, 6)": Kind(Recurrent, WINDOW, _recurrent),
    "two convolutions of 64 over windows (24, 6)": Kind(Convolutional, WINDOW, _convolutional),
    "200 boosted trees": Kind(None, FEATURES, None),
}


@dataclass(frozen=True)
class Setting:
    """A teacher as a study has it, and as the loop calls it."""

    problem: Problem
    call: Callable[[Tensor], Tensor]
    loop: str


def setting(kind: Kind, folder: Path) -> Setting:
    """Make a teacher, and label its pool and banks."""
    torch.manual_seed(0)
    if kind.make is None:
        teacher, call = _trees()
    else:
        module = kind.make().eval().requires_grad_(False)
        file, shape = folder / "teacher.pt2", kind.shape
        file.write_bytes(call_to_pt2(module, (torch.randn(2, *shape),), {}, (free_batch(),)))
        teacher, call = load_teacher(file), lambda x: module(x.view(-1, *shape))
    inputs = Inputs.unknown(teacher.width or FEATURES[0]).laid_out(teacher.layout)
    problem = Problem(teacher, inputs, probe(teacher, inputs), pool_rows=POOL, bank_rows=BANK)
    return Setting(problem, call, "random" if kind.make is None else "direct")


def _trees() -> tuple[Teacher, Callable[[Tensor], Tensor]]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    x = np.random.default_rng(0).standard_normal((4_000, *FEATURES))
    model = HistGradientBoostingRegressor(max_iter=TREES, random_state=0).fit(x, np.sin(x).sum(1) + x[:, 0] * x[:, 1])
    return from_estimator("boosted trees", model, ""), lambda x: torch.from_numpy(model.predict(x.numpy()))[:, None]


def of_loop(setting: Setting, steps: int) -> float:
    """Processor seconds of a step of the loop."""
    features, outputs = setting.problem.features, setting.problem.outputs
    torch.manual_seed(0)
    student = nn.Sequential(nn.Linear(features, 50), nn.Tanh(), nn.Linear(50, outputs))
    start = time.process_time()
    plain_distillation(setting.call, student, lambda n: torch.randn(n, features), setting.loop, steps=steps)
    return (time.process_time() - start) / steps


def population(setting: Setting, steps: int) -> Population:
    """Members in training, which are evaluated after each ``steps`` steps."""
    made, recipe = Population(setting.problem), PAPER if setting.loop == "direct" else RANDOM
    total = 1_000 * steps
    for k in range(MEMBERS):
        made.admit(Member(k, replace(recipe, steps=total), k, rungs=1_000))
    return made


def of_population(members: Population) -> float:
    """Processor seconds of a member's step."""
    before = members.members[0].clock
    start = time.process_time()
    members.advance()
    return (time.process_time() - start) / (members.members[0].clock - before) / MEMBERS


def measured(kind: Kind, folder: Path, rounds: int, steps: int) -> dict[str, float]:
    """Medians over the rounds: microseconds of a step of the loop, of ours and of the floor, and ratios."""
    known = setting(kind, folder)
    members, found = population(known, steps), []
    of_population(members)
    of_loop(known, 2)
    for _ in range(rounds):
        loop, own = of_loop(known, steps), of_population(members)
        least = None if kind.forward is None else floor_of(known.problem, PAPER, MEMBERS, kind.forward).seconds
        found.append({"loop": 1e6 * loop, "own": 1e6 * own, "faster": loop / own})
        if least is not None:
            found[-1] |= {"floor": 1e6 * least, "above": own / least, "most": loop / least}
    return {name: median(each[name] for each in found) for name in found[0]}


def row(found: dict[str, float]) -> list[str]:
    """The cells of a kind."""
    cells = [f"{found['loop']:,.0f}", f"{found['own']:,.0f}", f"{found['faster']:.1f}"]
    if "floor" not in found:
        return [*cells, "", "", ""]
    return [*cells, f"{found['floor']:,.0f}", f"{found['above']:.1f}", f"{found['most']:.1f}"]


def entries(found: dict[str, dict[str, float]], args: argparse.Namespace) -> dict[str, Measured]:
    """What ``--publish`` writes.

    Args:
        found: kind -> what ``measured`` returned.
        args: rounds and steps.
    """
    budget = f"medians of {args.rounds} slices of {args.steps} steps"
    rows = {name: row(each) for name, each in found.items()}
    beside = ", beside other work" if os.getloadavg()[0] > (os.cpu_count() or 1) + 1 else ""
    return {"deep_teachers": Measured((0,), budget, rows, machine=f"{hardware.name()}, one thread{beside}")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50, help="of a slice")
    figures.add_option(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of exporting a recurrent layer
    found = {}
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        for name in args.kinds:
            found[name] = measured(KINDS[name], Path(folder), args.rounds, args.steps)
            print(f"{name:<44}", *(f"{cell:>8}" for cell in row(found[name])), flush=True)
    if args.publish:
        figures.publish(entries(found, args))


if __name__ == "__main__":
    main()
