"""Defaults by kind of teacher: the baseline, the preset and the search space.

- Shallow (one hidden layer of smooth units): its neurons initialize students.
- Deep: its first layer says little about its outputs. A student initialized from it has large errors far from the
  prior; one with small initial weights does not.
- Both: L-BFGS overfits a frozen bank; new rows with a decaying rate do better.
- Black box: it has no gradients to match.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.generators.skewed import Skewed
from dfkd_tune.inputs.encoding import encoder
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.assistants import Committee, Labeling, NoAssistant, Wider
from dfkd_tune.recipes.base import Assistant
from dfkd_tune.recipes.optimizers import Adam, AdamW
from dfkd_tune.recipes.presets import BLACK_BOX, FAITHFUL, FEW_QUERIES, PAPER, PRESETS, RANDOM, ROUGH, SHALLOW
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.space.fixing import fix
from dfkd_tune.search.space.search_space import DEFAULT
from dfkd_tune.search.space.space import Space
from dfkd_tune.students.kinds import STUDENTS as KINDS


@dataclass(frozen=True)
class TeacherDefaults:
    """The defaults for a kind of teacher.

    Args:
        baseline: the untuned method that studies are compared with.
        preset: recipe for leaves that are not searched.
        search: leaf -> choices or range.
        assistant: assistant of students over rows of a table.
        window_assistant: assistant of students over windows; where there is one, its share is searched, too.
    """

    baseline: Recipe
    preset: Recipe
    search: Mapping[str, Any]
    assistant: Assistant = field(default_factory=NoAssistant)
    window_assistant: Assistant = field(default_factory=NoAssistant)

    @property
    def name(self) -> str:
        """Name of the preset."""
        return next(name for name, preset in PRESETS.items() if preset is self.preset)

    def searched(self, inputs: Inputs) -> dict[str, Any]:
        """The default space for these inputs; it varies tails or skewness only if some feature leaves them open."""
        gone = set() if inputs.open_ended.any() else {"heavy_tailed", "generator.spread"}
        gone |= set() if inputs.shapeless.any() else {"skewed", "generator.shared"}
        kept = [name for name in self.search.get("generator.kind", ()) if name not in gone]
        shape = encoder(inputs).columns.kind
        kinds = STUDENTS[shape]
        shaped: dict[str, Any] = {"student.kind": kinds} if len(kinds) > 1 else {}
        if shape == "window" and isinstance(self.preset.optimizer, Adam):
            shaped["optimizer.lr"] = WINDOW_RATES
        if shape == "window" and not isinstance(self.window_assistant, NoAssistant):
            shaped["assistant.share"] = ASSISTANT_SHARES
        return (
            {leaf: domain for leaf, domain in self.search.items() if leaf not in gone}
            | ({"generator.kind": kept} if kept else {})
            | shaped
        )

    def recipe(self, inputs: Inputs) -> Recipe:
        """The preset, with the first kind of student for the shape of these inputs, and its learning rate.

        Windows are prior rows alone: skewed rows stretch what a slow channel has in common at all steps, far beyond real windows.
        """
        shape = encoder(inputs).columns.kind
        kind, preset = KINDS[STUDENTS[shape][0]], self.preset
        assistant = {None: self.assistant, "window": self.window_assistant}.get(shape, NoAssistant())
        preset = replace(preset, assistant=_affordable(assistant, len(inputs)))
        if shape == "window" and isinstance(preset.generator, Skewed):
            preset = replace(preset, generator=Gaussian())
        if shape == "window" and isinstance(preset.optimizer, Adam):
            preset = replace(preset, optimizer=_for_windows(preset.optimizer))
        return preset if type(preset.student) is kind else replace(preset, student=kind())


def _for_windows(optimizer: Adam) -> Adam:
    """The optimizer at the rate of students over windows, with the same decay in a step: AdamW's is its rate times ``weight_decay``."""
    if isinstance(optimizer, AdamW):
        optimizer = replace(optimizer, weight_decay=optimizer.weight_decay * optimizer.lr / WINDOW_RATE)
    return replace(optimizer, lr=WINDOW_RATE)


def _affordable(assistant: Assistant, features: int) -> Assistant:
    """The assistant with fewer rows to label for rows of very many values, so that memory holds them."""
    if not isinstance(assistant, Labeling):
        return assistant
    return replace(assistant, rows=min(assistant.rows, max(FEWEST_LABELED, LABELED_VALUES // features)))


STUDENTS = {None: ["mlp"], "window": ["gru", "conv1d", "mlp"], "grid": ["conv2d", "mlp"]}
"""Shape of the inputs -> kinds of students that are searched; the first one is that of the preset.

The others are further initial points of a study.
"""

WINDOW_RATE, WINDOW_RATES = 2e-2, {"low": 3e-3, "high": 5e-2, "log": True}
"""Learning rate of students over windows, and where it is searched. Over nine teachers, it takes a quarter off the error on real
windows that the rate of other students leaves, of recurrent and of convolutional students (``benchmarks/rates.py``).
"""

LABELED_VALUES, FEWEST_LABELED = 5_000_000, 1_000
"""Values in the rows that an assistant labels by default, and fewest of these rows."""
ASSISTANT_SHARES = {"low": 0.25, "high": 0.75}
"""Share of a batch that an assistant labels, where there is one by default."""

DEEP = {leaf: domain for leaf, domain in DEFAULT.items() if leaf != "initializer.surplus"} | {
    "generator.kind": ["gaussian", "direct", "heavy_tailed", "skewed"],
    "generator.spread": {"low": 0.3, "high": 1.3},
    "generator.shared": {"low": 0.0, "high": 0.8},
    "refiner.kind": ["none", "lbfgs"],
    "loss.weight": {"low": 0.05, "high": 1.0, "log": True},
    "optimizer.lr": {"low": 1e-3, "high": 1e-2, "log": True},
}
"""For deep teachers, whose preset trains on new rows to the end. ``adversarial`` is left out: some students had 10x the
error.
"""

ANSWERS = {
    "generator.kind": ["gaussian", "heavy_tailed", "skewed"],
    **{
        leaf: DEEP[leaf]
        for leaf in ("generator.spread", "generator.shared", "alpha.value", "student.width", "optimizer.lr")
    },
}
"""For black boxes. Generators that search for gaps cost ten times the queries and gave no better students of trees and
a Gaussian process. Without input gradients L-BFGS overfits the steps of a tree: lower error on every bank, higher error
on real rows.
"""

SMOOTH = {
    leaf: DEFAULT[leaf] for leaf in ("bound.kind", "bound.threshold", "input_bound.kind", "input_bound.radius")
} | {
    "generator.kind": ["gaussian", "direct", "skewed"],
    "alpha.value": {"low": 0.3, "high": 0.7},
    "student.width": DEFAULT["student.width"],
    "optimizer.lr": {"low": 2e-3, "high": 4.5e-3, "log": True},
}
"""For shallow teachers, whose preset trains on new rows to the end.

No bank ranks small students well. So only leaves are searched on whose values their error on real rows hardly depends, by the mean
over teachers, and the loss and the training are those of the preset (``benchmarks/fidelity.py --width 25``).
"""

TEACHER_DEFAULTS = {
    "shallow": TeacherDefaults(PAPER, SHALLOW, SMOOTH),
    "deep": TeacherDefaults(PAPER, ROUGH, DEEP),
    "black box": TeacherDefaults(RANDOM, BLACK_BOX, ANSWERS),
}
"""``Probe.kind`` -> defaults."""

OTHER_PRESETS = TeacherDefaults(PAPER, FAITHFUL, DEFAULT)
"""For shallow teachers and studies that name another preset: more of its leaves are searched."""

SHARED_ROWS = {leaf: ANSWERS[leaf] for leaf in ("student.width", "optimizer.lr")} | {
    "optimizer.weight_decay": {"low": 1e-3, "high": 1.0, "log": True},
    "optimizer.averaging": [0.0, 0.99, 0.999],
    "checkpoint.kind": ["best", "last"],
}
"""For studies with a total number of queries. All trials train on the same rows, of which there are few, so that a trial chooses
how it is kept from learning them by heart.
"""

FEW_ROWS = TeacherDefaults(RANDOM, FEW_QUERIES, SHARED_ROWS, Committee(), Wider())
"""Defaults of a study with a total number of queries, whatever its teacher.

Wider assistants lower the error of students over windows, and raise that of students over tables (``benchmarks/few_rows.py``). A
committee lowers that of students over tables where rows are few (``benchmarks/queries.py``); over windows, many trials are of kinds
that learn little.
"""


def defaults_of(kind: str, limited: bool, preset: str | None = None) -> TeacherDefaults:
    """The defaults of a study.

    Args:
        kind: kind of its teacher, from ``Probe.kind``.
        limited: whether it has a total number of queries.
        preset: name of the preset in its file; None if it names none.
    """
    usual = FEW_ROWS if limited else TEACHER_DEFAULTS[kind]
    others = usual is TEACHER_DEFAULTS["shallow"] and preset not in (None, usual.name)
    return OTHER_PRESETS if others else usual


def untuned(kind: str, space: Space, limited: bool = False) -> Recipe:
    """The baseline of a study: the untuned method with the budget of a finished student and the largest one that fits.

    Args:
        kind: kind of the teacher, from ``Probe.kind``.
        space: search space of the study, whose preset has that budget.
        limited: whether the study has a total number of queries.
    """
    preset = space.preset
    recipe = replace(defaults_of(kind, limited).baseline, steps=preset.steps, batch=preset.batch)
    recipe = fix(recipe, space.fixed, "baseline")
    recipe = replace(recipe, assistant=recipe.assistant.of_trials)
    if space.max_parameters is None:
        return recipe
    if not recipe.student.widest(*space.size, space.max_parameters):  # rows of a long window do not fit a perceptron
        recipe = replace(recipe, student=space.preset.student)
    if "student.width" in space.fixed:
        return recipe
    return replace(recipe, student=recipe.student.with_width(space.widest(recipe.student)))
