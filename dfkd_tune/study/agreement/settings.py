"""The search space of a study, with every refusal of its settings that no answer of the teacher is needed for."""

from __future__ import annotations

from dfkd_tune.errors import SpecError
from dfkd_tune.inputs.encoding import encoder
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.recipes.assistants import ASSISTANTS
from dfkd_tune.recipes.base import Assistant
from dfkd_tune.search.optuna_kinds import try_sampler
from dfkd_tune.search.space.defaults import TeacherDefaults, defaults_of
from dfkd_tune.search.space.fixing import fix
from dfkd_tune.search.space.search_space import make_space
from dfkd_tune.search.space.shared_rows import require_shared_rows
from dfkd_tune.search.space.space import Space
from dfkd_tune.search.study_file import StudySpec
from dfkd_tune.students.module import Module
from dfkd_tune.study.agreement.lengths import has_short_trials, needs_whole_trials, trial_steps
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.probe import Probe
from dfkd_tune.utils.strategy import name_of

BLACK_BOX = "black box"
"""Kind of a teacher without input gradients, and of every teacher whose rows are counted."""


def require_settings(spec: StudySpec) -> None:
    """Refuse settings of a study file that cannot be kept, whatever its teacher and inputs are.

    Raises:
        SpecError: for the first of them.
    """
    require_trial_share(spec)
    require_within(spec)
    require_committee(spec)
    require_runtime(spec)


def require_trial_share(spec: StudySpec) -> None:
    """Refuse trials that train shorter where their students are results."""
    if not has_short_trials(spec) or not needs_whole_trials(spec):
        return
    why = "study.pareto compares students of trials" if spec.study.pareto else "study.reruns is 0"
    rule = f"no trial would train all steps, but {why}"
    raise SpecError(
        f"{spec.place}: budget.trial_share", rule, remedy="leave trial_share out, so that trials train all steps"
    )


def require_within(spec: StudySpec) -> None:
    """Refuse a share within which no smaller student could be found."""
    if spec.study.within is None:
        return
    place = f"{spec.place}: study.within"
    least = 2 if has_short_trials(spec) else 1
    if spec.study.reruns < least:
        rule = f"compares sizes over seeds, but study.reruns is {spec.study.reruns}"
        raise SpecError(place, rule, remedy=f"let reruns be at least {least}")
    if spec.budget.total_queries is not None:
        rule = "cannot be kept with budget.total_queries: a pruned student has seen rows that other folds measure it on"
        raise SpecError(place, rule, remedy="leave one of them out")


def require_committee(spec: StudySpec) -> None:
    """Refuse a committee where trials do not share their rows."""
    kind = spec.fixed.get("assistant.kind")
    if kind is not None and spec.budget.total_queries is None:
        require_no_committee(ASSISTANTS[kind](), f"{spec.place}: assistant.kind")


def require_no_committee(assistant: Assistant, place: str) -> None:
    """Refuse an assistant that only a study with a total number of queries has.

    Args:
        assistant: the assistant of a recipe.
        place: where it is from, for the message.
    """
    if assistant.committee:
        rule = f"{name_of(ASSISTANTS, assistant)} labels rows only in a study with budget.total_queries"
        raise SpecError(place, rule, remedy="take wider or none, or tune with a total")


def require_runtime(spec: StudySpec) -> None:
    """Refuse a runtime that is not here, or whose latency is not weighed."""
    runtime, place = spec.study.runtime, f"{spec.place}: study.runtime"
    if runtime is None:
        return
    if spec.study.pareto != "latency":
        raise SpecError(place, "is weighed only with pareto: latency", remedy="add --pareto-latency, or leave it out")
    from dfkd_tune.export.speed import missing

    if (why := missing(runtime)) is not None:
        raise SpecError(place, f"{runtime} cannot be used here: {why}", remedy="install it, or weigh another runtime")


def space_of(spec: StudySpec, inputs: Inputs, outputs: int, limit: int | None, found: Probe | None = None) -> Space:
    """The search space of a study.

    Args:
        spec: its study file.
        inputs: the teacher's inputs.
        outputs: number of its outputs O. Before it is asked, the least that it may have: what is refused then is refused with more.
        limit: largest number of parameters of a student; None for no limit.
        found: what the probe found; None before the teacher is asked, which is taken for a black box.

    Raises:
        SpecError: the study file cannot be kept; the message names the leaf.
    """
    limited, small = spec.budget.total_queries is not None, spec.study.pareto is not None
    size = (encoder(inputs).columns, outputs)
    kind = BLACK_BOX if found is None else found.kind
    defaults = defaults_for(spec, found)
    preset = spec.recipe(defaults.recipe(inputs))
    if limited:
        require_shared_rows(fix(preset, spec.fixed, spec.place), spec.fixed, spec.search, spec.place)
    space = make_space(
        preset,
        spec.search,
        size,
        limit,
        f"{spec.place}: search",
        differentiable=kind != BLACK_BOX,
        normalizes=found is not None and found.normalizes,
        small=small,
        default=defaults.searched(inputs),
        fixed=spec.fixed,
        trial_steps=trial_steps(spec) if has_short_trials(spec) else None,
    )
    runtime = spec.study.runtime
    if runtime is not None and runtime.startswith("C") and any(isinstance(each, Module) for each in space.students()):
        rule = f"{runtime} has no students of kind module"
        raise SpecError(f"{spec.place}: study.runtime", rule, remedy="weigh PyTorch, pt2 or onnxruntime")
    try_sampler(spec.sampler, space.suggest, 2 if small else 1, f"{spec.place}: sampler")
    return space


def defaults_for(spec: StudySpec, found: Probe | None) -> TeacherDefaults:
    """The defaults of a study.

    Args:
        spec: its study file.
        found: what the probe found; None before the teacher is asked, which is taken for a black box.
    """
    kind = BLACK_BOX if found is None else found.kind
    return defaults_of(kind, spec.budget.total_queries is not None, spec.preset)


def least_outputs(teacher: Teacher) -> int:
    """The number of outputs that a teacher tells before it is asked; 1 if it tells none."""
    signature = teacher.signature if teacher.layout is None else teacher.layout.signature
    known = None if signature is None else signature.outputs
    return max(1, sum(each.width for each in known or ()))
