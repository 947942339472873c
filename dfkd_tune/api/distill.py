"""``distill``: one student in one call, in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from dfkd_tune.api.arguments import Arguments
from dfkd_tune.api.error_words import in_python
from dfkd_tune.api.live import View
from dfkd_tune.api.sections import require_single, sections
from dfkd_tune.errors import ExportError
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.export.student_files import read_student, student_files
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.study.prepare import Prepared
from dfkd_tune.training import distill as training
from dfkd_tune.training.member import Member
from dfkd_tune.training.raw_evaluation import shipped
from dfkd_tune.utils import hardware
from dfkd_tune.utils.given.checks import FLAG, FUNCTION, MAPPING, PATH, TEXT, require
from dfkd_tune.utils.seeding import derive


def distill(
    teacher: Any,
    *,
    features: Any = None,
    max_parameters: int | None = None,
    compression: float | None = None,
    seed: int = 0,
    steps: int | None = None,
    batch: int | None = None,
    preset: str | None = None,
    fixed: Mapping[str, Any] | None = None,
    student: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
    example_inputs: Any = None,
    architecture: str | Path | None = None,
    trust_pickle: bool = False,
    device: str = "cpu",
    on_step: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Distill one student of a teacher, without any data.

        student = dt.distill(teacher, features={"load": {"mean": 3, "std": 1}, "flow": None}, max_parameters=1151)
        student(torch.tensor([[2.5, 0.1]]))

    Args:
        teacher: an ``nn.Module``, a fitted estimator, a function of tensors or arrays ``(N, D)``, a model file, an MLflow URI, or
            ``"package.module:function"``. It is not changed.
        features: what is known about the inputs: a path of a features file; a mapping from names to ``Feature``, mappings or
            None; a list of names; ``Inputs``; or what ``describe`` returns. Default: nothing, inputs are standardized.
        max_parameters, compression: size of the student: its largest number of parameters, or the smallest ratio of the
            teacher's parameters to its own. The student is as wide as that allows.
        seed: seed of the prior rows and the student.
        steps, batch: student updates (20,000), and rows in each (100).
        preset: name of the recipe; default: the one for this kind of teacher.
        fixed: leaf -> value of the recipe that replaces the preset's, as in a study file: ``{"student.width": 20}``.
        student, budget: these sections of a study file: ``{"kind": "rbf"}``, ``{"pool": 5000, "bank": 2000}``. A key has one value, here or
            in an argument.
        example_inputs: for a teacher with other arguments than rows ``(N, D)``, or whose number of features cannot be found
            otherwise: a tensor or array, a tuple of positional arguments, or a dict of keyword arguments. The first dimension
            holds the rows, their values do not matter.
        architecture: YAML file of layers, for a model file that holds only weights.
        trust_pickle: whether to load a pickled model file, which can run any code.
        device: ``auto``, ``cpu`` or ``cuda``.
        on_step: called at times with the step and the RMSE on the pruning bank.

    Returns:
        The student: a module from raw rows ``(N, D)`` to the teacher's outputs in its units, shape and dtype, in evaluation mode.
        Rows are a tensor, an array, or a data frame with the declared names and words. For a teacher with other arguments it takes
        what the teacher does. Its attribute ``rmse`` is the RMSE against the teacher on fresh prior rows, in the teacher's units.

    Raises:
        DfkdError: in one line, if an argument is not valid, the teacher fails, or the student diverges.
    """
    mappings = {"fixed": (fixed, MAPPING), "student": (student, MAPPING), "budget": (budget, MAPPING)}
    files = {"architecture": (architecture, PATH), "trust_pickle": (trust_pickle, FLAG)}
    others = {"device": (device, TEXT), "on_step": (on_step, FUNCTION)}
    require("distill", {**mappings, **files, **others}, "device")
    arguments = {
        "study.seed": seed,
        "student.max_parameters": max_parameters,
        "student.compression": compression,
        "budget.steps": steps,
        "budget.batch": batch,
        "preset": preset,
    }
    tree = sections("distill", {"student": student, "budget": budget}, arguments, fixed)
    require_single("distill", tree)
    with in_python("distill"), View.opened(), tempfile.TemporaryDirectory() as folder:
        given = (teacher, features, example_inputs, tree, architecture, trust_pickle, device)
        prepared, _ = Arguments("distill", *given, Path(folder)).prepared()
        return _student(prepared, on_step, Path(folder) / "student")


def _student(prepared: Prepared, on_step: Callable[[int, float], None] | None, folder: Path) -> nn.Module:
    """Train, and measure the student as its files load."""
    problem, recipe = prepared.problem(), _recipe(prepared)

    def rung(member: Member) -> None:
        if on_step is not None:
            on_step(member.clock, member.curve[-1][1])

    with hardware.threads(1):  # the same student on any number of cores
        outcome = training.distill(problem, recipe, derive(prepared.spec.study.seed, "baseline"), rung)
    if outcome.failure or outcome.selection is None:
        raise ExportError("distill", f"no student: {outcome.failure}", remedy="lower optimizer.lr")
    folder.mkdir()
    for name, data in student_files(problem, outcome, {"teacher": prepared.spec.teacher.path}).items():
        (folder / Path(name).name).write_bytes(data)
    module, result = read_student(folder)
    units = InputSchema.of(result)
    module = units.module(module)
    exported = units.student(units.flat(module), outcome.parameters)
    found = shipped("distill", problem.evaluator, exported, outcome.selection.by_output)
    object.__setattr__(module, "rmse", found.rmse)  # a plain attribute, neither a parameter nor a submodule
    return module


def _recipe(prepared: Prepared) -> Recipe:
    """The preset as wide as the size limit allows, unless its width is fixed."""
    space = prepared.space
    recipe = space.preset
    if space.max_parameters is None or "student.width" in space.fixed or not recipe.student.has_width:
        return recipe
    return replace(recipe, student=recipe.student.with_width(space.widest(recipe.student)))
