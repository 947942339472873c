"""Prepare a study: read its files, probe the teacher, make the search space, and list what a resume must match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dfkd_tune.errors import MachineError, SpecError
from dfkd_tune.evaluation.knowledge.estimate import estimate_gain, is_foreseen, student_steps
from dfkd_tune.evaluation.knowledge.gain import Gain
from dfkd_tune.evaluation.knowledge.worlds import next_tier
from dfkd_tune.evaluation.stress_bank import add_stress
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.prior_inference.resolve import answering, declared
from dfkd_tune.recipes.assistants import NoAssistant
from dfkd_tune.recipes.base import Assistant
from dfkd_tune.recipes.losses import LOSSES
from dfkd_tune.recipes.recipe import Recipe
from dfkd_tune.search.space.defaults import untuned
from dfkd_tune.search.space.space import Size, Space
from dfkd_tune.search.study_file import POPULATION, StudySpec
from dfkd_tune.study.agreement.differences import located
from dfkd_tune.study.agreement.lengths import length, trial_steps
from dfkd_tune.study.agreement.settings import least_outputs, require_settings, space_of
from dfkd_tune.study.total.asking import Asking
from dfkd_tune.study.total.different import count_different
from dfkd_tune.study.total.division import ROUNDS, probe_rows
from dfkd_tune.study.total.opening import Subject, Total, meter_of, open_total, require_openable
from dfkd_tune.teachers.base import Teacher
from dfkd_tune.teachers.guarded import CALLS
from dfkd_tune.teachers.in_memory import identified
from dfkd_tune.teachers.loader import load_teacher
from dfkd_tune.teachers.metering.answered_rows import RememberedRows
from dfkd_tune.teachers.metering.meter import metered
from dfkd_tune.teachers.output_cache import Answers
from dfkd_tune.teachers.probe import Probe, probe
from dfkd_tune.teachers.signatures.arranged import outputs_alone
from dfkd_tune.teachers.sources import IN_MEMORY
from dfkd_tune.tracking import params as param
from dfkd_tune.tracking import tags as tag
from dfkd_tune.training.answered.folds import FOLDS
from dfkd_tune.training.banks import BANKS, POOL_LEAST
from dfkd_tune.training.member import Member
from dfkd_tune.training.memory import Need, Sizes, fit, need, reduced
from dfkd_tune.training.problem import Problem
from dfkd_tune.utils import hardware

LIBRARIES = 400 * 2**20
"""Memory of an additional process before it holds any row, in bytes."""
WORTH = 1.0
"""Seconds of teacher queries from which outputs are cached for other processes."""
GAIN_SHARE, LEAST_STEPS = 0.05, 400_000
"""Largest share of a study's student steps that an estimate of more knowledge takes at its end, and fewest steps of such a study."""
GROUPS = 2
"""Groups of a seeded study's rounds unless ``--workers`` is given: the same on any machine."""
NOTHING = Sizes(0, False, 0, 0)


@dataclass(frozen=True)
class Prepared:
    """A study whose files were read and whose teacher was probed; nothing is written yet.

    Args:
        spec, teacher, inputs, probe, space: study file, teacher, inputs, result of the probe, and search space.
        sizes: size of the pool and memory of one process on this machine.
        device: device of the distillation.
        groups: requested number of groups of a seeded study's rounds; None for the recorded or usual one.
        total: the total of its queries, once it is open; None without one.
    """

    spec: StudySpec
    teacher: Teacher
    inputs: Inputs
    probe: Probe
    space: Space
    sizes: Sizes
    device: str = "cpu"
    groups: int | None = None
    total: Total | None = None

    @property
    def in_memory(self) -> bool:
        """Whether no other process can load the teacher."""
        return self.spec.teacher.path.startswith(IN_MEMORY)

    @property
    def population(self) -> int:
        """Number of trials that train at once."""
        about, most = self.spec.study, POPULATION
        if self.spec.budget.total_queries is not None:  # so that rows are asked between trials
            most = min(most, max(1, about.trials // (GROUPS * (ROUNDS + 1))))
        return about.population or min(most, about.trials)

    def asking(self, check_cancelled: Callable[[], None]) -> Asking:
        """How a study with an open total asks its teacher; ``check_cancelled`` is called while another process does, and may raise."""
        assert self.total is not None  # the caller's condition
        of_teacher = (self.teacher, self.inputs, self.probe)
        return Asking(self.total, *of_teacher, self.space.preset.generator, self.spec.study.seed, check_cancelled)

    def with_population(self, population: int) -> Prepared:
        """The same study with another population."""
        return replace(self, spec=replace(self.spec, study=replace(self.spec.study, population=population)))

    def groups_of(self, recorded: int | None) -> int | None:
        """Number of groups in which the trials of a round train; None without a seed, as there are no rounds then."""
        return (self.groups or recorded or GROUPS) if self.spec.seeded else None

    def problem(
        self,
        pool_rows: int | None = None,
        gradients: bool | None = None,
        shared: Path | None = None,
        check_cancelled: Callable[[], None] = lambda: None,
    ) -> Problem:
        """Draw pool and banks, and query the teacher for them.

        Args:
            pool_rows, gradients: recorded number of pool rows and whether it keeps gradients; default: as sized for this machine.
            shared: folder in which processes share a slow teacher's outputs; None to query everything here.
            check_cancelled: called while waiting for another process's queries; may raise.
        """
        if self.total is not None:
            return self.asking(check_cancelled).problem(self.device)
        rows = pool_rows or self.sizes.pool
        keeps = self.sizes.gradients if gradients is None else gradients
        CALLS.expect(rows + len(BANKS) * self.spec.budget.bank, self.probe.rows_per_second)
        return Problem(
            self.teacher,
            self.inputs,
            self.probe,
            seed=self.spec.study.seed,
            pool_rows=rows,
            gradients=keeps,
            bank_rows=self.spec.budget.bank,
            device=self.device,
            answers=self._answers(shared, "rows", rows, keeps) if self._slow(rows) else None,
            check_cancelled=check_cancelled,
        )

    def stressed(
        self, problem: Problem, check_cancelled: Callable[[Member | None], None], shared: Path | None = None
    ) -> Problem:
        """Add the stress bank to a problem; ``check_cancelled`` is called at times and may raise."""
        if self.total is not None:  # its stress rows are among the answered ones
            return problem
        like = self.baseline()
        answers = self._answers(shared, "stress", len(problem.pool), problem.pool.gradients is not None, like)
        add_stress(problem, like, check_cancelled, answers, lambda: check_cancelled(None))
        return problem

    def _answers(self, shared: Path | None, *words: object) -> Answers | None:
        if shared is None:
            return None
        about = (self.teacher.sha256, self.inputs.fingerprint(), self.spec.study.seed, self.spec.budget.bank)
        return Answers(shared, *about, *words)

    def _slow(self, rows: int) -> bool:
        """Whether querying pool and banks takes so long that processes should share the outputs."""
        return (rows + len(BANKS) * self.spec.budget.bank) / self.probe.rows_per_second > WORTH

    @property
    def size(self) -> Size:
        """How the inputs of a student are arranged, and its number of outputs."""
        return self.space.size

    def baseline(self) -> Recipe:
        """Recipe of the untuned baseline, with the study's budget and its largest allowed student."""
        return untuned(self.probe.kind, self.space, self.spec.budget.total_queries is not None)

    @property
    def estimates_gain(self) -> bool:
        """Whether the study ends with an estimate of what more knowledge would buy: where that is a small part of it."""
        steps, preset = length(self.spec) * trial_steps(self.spec), self.space.preset
        worth = steps >= LEAST_STEPS and student_steps(preset) <= GAIN_SHARE * steps
        return worth and self.spec.budget.total_queries is None and is_foreseen(self.inputs, self.probe)

    def gain(self, check_cancelled: Callable[[], None] = lambda: None) -> Gain:
        """Estimate what one more tier of knowledge would buy; a teacher whose rows are counted is not asked.

        Args:
            check_cancelled: called at times; may raise.
        """
        if self.spec.budget.total_queries is not None:
            return Gain(next_tier(self.inputs), why="an estimate would ask for rows, which are counted")
        preset, limit = self.space.preset, self.space.max_parameters
        if limit is not None and "student.width" not in self.space.fixed:
            preset = replace(preset, student=preset.student.with_width(self.space.widest(preset.student)))
        of_teacher = (self.teacher, self.inputs, self.probe, preset, self.spec.study.seed)
        return estimate_gain(*of_teacher, device=self.device, check_cancelled=check_cancelled)

    def identity(self) -> dict[str, Any]:
        """The facts that must be equal when the study is resumed."""
        optional = {"pareto": self.spec.study.pareto, "runtime": self.spec.study.runtime}
        optional |= {"teacher_rows": self.spec.budget.teacher_rows}
        limited = self.spec.budget.total_queries is not None
        optional |= {"limited": True} if limited else {"bank": self.spec.budget.bank}
        return {
            "teacher": self.teacher.sha256,
            "features": self.inputs.fingerprint(),
            "objective": self.spec.study.objective,
            "seed": self.spec.study.seed,
            "space": self.space.describe(),
        } | {name: value for name, value in optional.items() if value}

    def params(self, problem: Problem) -> dict[str, Any]:
        """Parameters of the parent run in MLflow, none of which a later session changes."""
        spec, found = self.spec, self.probe
        return {
            "teacher": Path(spec.teacher.path).name,
            "features": found.features,
            "outputs": found.outputs,
            "objective": spec.study.objective,
            param.SEED: spec.study.seed,
            "steps": spec.budget.steps,
            "trial_steps": trial_steps(spec),
            "batch": spec.budget.batch,
            "population": self.population,
            "device": self.device,
            "teacher_noise": found.noise,
            "teacher_resolution": found.resolution,
            "preset": spec.preset or "default",
            "max_parameters": self.space.max_parameters,
        } | self._rows(problem)

    def _rows(self, problem: Problem) -> dict[str, Any]:
        """Parameters that are numbers of rows. Those that a total does not have are left out, as is what it may still ask."""
        if self.spec.budget.total_queries is not None:
            return {param.BANK_ROWS.format(name): len(bank.z) for name, bank in problem.banks.items()}
        return {
            param.POOL: len(problem.pool),
            param.POOL_GRADIENTS: problem.pool.gradients is not None,
            param.BANK: self.spec.budget.bank,
            "teacher_rows": self.spec.budget.teacher_rows,
        }

    def tags(self) -> dict[str, Any]:
        """Tags of the parent run in MLflow. With its parameters they are enough to find teacher and inputs again."""
        spec = self.spec
        files = {
            tag.TEACHER: spec.teacher.path,
            tag.ARCHITECTURE: spec.teacher.architecture,
            tag.FEATURES: spec.features,
        }
        return {name: located(path) for name, path in files.items() if path is not None} | {
            tag.TIER: self.inputs.tier,
            tag.OBJECTIVE: self.spec.study.objective,
            tag.SAMPLER: spec.sampler.words(),
            tag.PRUNER: spec.pruner.words(),
            tag.TEACHER_SHA256: self.teacher.sha256,
            tag.FEATURES_SHA256: self.inputs.fingerprint(),
            **({} if (total := spec.budget.total_queries) is None else {tag.TOTAL_QUERIES: total}),
        }


def prepare(
    spec: StudySpec,
    trust_pickle: bool = False,
    device: str = "cpu",
    teacher: Teacher | None = None,
    storage_url: str | None = None,
) -> Prepared:
    """Read the files of a study, probe the teacher and check that its rows fit in memory.

    Args:
        spec: content of a study file.
        trust_pickle: whether to load pickled models, which can run any code.
        device: ``auto``, ``cpu`` or ``cuda``.
        teacher: the teacher, if the spec's path leads to none.
        storage_url: URL of Optuna's storage, in which a study with a total counts its queries before its teacher is asked; without
            one, as for a check, they are not counted.

    Raises:
        DfkdError: for the first error, in one line.
    """
    limited = spec.budget.total_queries is not None
    meter, total = meter_of(teacher) if limited else None, None
    if meter is not None and meter.rows is None and storage_url is None:
        meter.rows = RememberedRows()
    with metered(meter):
        architecture = Path(spec.teacher.architecture) if spec.teacher.architecture else None
        teacher = teacher or load_teacher(spec.teacher.path, architecture, trust_pickle)
        limit = spec.student.parameters(teacher.parameters)
        teacher, inputs = before_asking(spec, teacher, device, storage_url)
        if meter is not None and storage_url is not None:
            few = count_different(inputs, spec.budget.total_queries or 0)
            total = open_total(spec, storage_url, meter, Subject.of(teacher, inputs), few)
        teacher, inputs = answering(teacher, inputs)
        measure = partial(probe, teacher, inputs, spec.study.seed, probe_rows(spec.budget.total_queries))
        if total is None:
            found = measure()
        else:
            found, total = total.probed(partial(_known, measure, teacher, inputs))
    teacher = identified(teacher, inputs)
    space = space_of(spec, inputs, found.outputs, limit, found)
    bare = Prepared(spec, teacher, inputs, found, space, NOTHING, hardware.device(device), total=total)
    prepared = replace(bare, sizes=sized(bare))
    if spec.budget.teacher_rows is not None and not prepared.sizes.gradients and matches_gradients(space):
        rule = "cannot be kept with loss.kind sobolev, which queries this teacher again for every row of every step"
        raise SpecError(f"{spec.place}: budget.teacher_rows", rule, remedy="use loss.kind mse")
    return prepared


def _known(measure: Callable[[], Probe], teacher: Teacher, inputs: Inputs) -> Probe:
    """Ask a teacher all that a study needs to know of it."""
    found = measure()
    identified(teacher, inputs)  # its answers are kept
    return found


def before_asking(
    spec: StudySpec, teacher: Teacher, device: str, storage_url: str | None = None
) -> tuple[Teacher, Inputs]:
    """Refuse what no answer of the teacher is needed for, and write nothing.

    Args:
        spec, device, storage_url: as in ``prepare``.
        teacher: the teacher as it was loaded.

    Returns:
        The teacher of rows as they are declared, and what is known of its inputs.

    Raises:
        DfkdError: for the first error, in one line.
    """
    require_settings(spec)
    hardware.device(device)
    limit, limited = spec.student.parameters(teacher.parameters), spec.budget.total_queries is not None
    # Its meter keeps all answers of a study with a total, and asks some of these rows again.
    teacher = replace(outputs_alone(teacher), kept=None) if limited else teacher
    teacher, inputs = declared(teacher, Path(spec.features) if spec.features else None)
    if limited:
        space_of(spec, inputs, least_outputs(teacher), limit)
    if storage_url is not None:
        require_openable(spec, storage_url, Subject.of(teacher, inputs))
    return teacher, inputs


def matches_gradients(space: Space) -> bool:
    """Whether any trial of the space may match the teacher's input gradients."""
    kinds = space.searched_kinds("loss")
    offered = [LOSSES[name] for name in kinds] if kinds else [space.preset.loss]
    return any(loss.gradients for loss in offered)


def sized(prepared: Prepared, processes: int = 1) -> Sizes:
    """Sizes of a study that fit in memory if ``processes`` processes share this machine.

    Raises:
        MachineError: if not even the smallest sizes fit.
    """
    room = hardware.memory_of(prepared.device) // processes - (processes > 1) * LIBRARIES
    needed, budget = needs(prepared), prepared.spec.budget
    asked, folds = budget.pool or budget.total_queries, 1 if budget.total_queries is None else FOLDS
    members = (prepared.population + 1) * folds  # the untuned baseline trains beside the trials
    found = fit(needed, prepared.probe, members, room, asked)
    if found is not None:
        return found
    place, largest = prepared.spec.place, _largest(prepared, needed)

    def fits(assistant: Assistant) -> bool:
        other = needed.of(prepared.inputs, replace(largest, assistant=assistant))
        return fit(other, prepared.probe, members, room, asked) is not None

    if fits(NoAssistant()):
        lower = reduced(largest.assistant, fits)
        place += ": assistant" if lower is None else f": assistant.{lower[0]}"
        remedy = "leave it out" if lower is None else f"{lower[1]} would fit"
    elif budget.total_queries is None:
        smaller = fit(needed, prepared.probe, 2, room)
        remedy = f"budget.pool: {smaller.pool} and study.population: 1 would fit" if smaller else "lower budget.bank"
    else:
        alone = fit(needed, prepared.probe, 2 * folds, room, asked)
        remedy = "study.population: 1 would fit" if alone else "lower budget.batch or student.max_parameters"
    least = needed.bytes(asked or POOL_LEAST, False, members) / 2**20
    rule = f"needs about {least:,.0f} MiB a process for its rows, {max(0, room) / 2**20:,.0f} MiB are left"
    raise MachineError(place, rule, remedy=remedy)


def shared(prepared: Prepared, processes: int) -> Prepared:
    """The same study with sizes for ``processes`` processes; raises as ``sized`` does."""
    return prepared if processes == 1 else replace(prepared, sizes=sized(prepared, processes))


def needs(prepared: Prepared) -> Need:
    """Memory needs of one process of a study, for the widest student and the largest assistant that it may try."""
    about = (prepared.teacher, prepared.inputs, prepared.probe)
    needed = need(*about, prepared.space.preset, prepared.spec.budget.bank)
    return needed.of(prepared.inputs, _largest(prepared, needed))


def _largest(prepared: Prepared, needed: Need) -> Recipe:
    """The recipe with the widest student and the largest assistant that a study may try."""
    space, (columns, outputs) = prepared.space, prepared.size
    largest = max(space.students(), key=lambda student: (student.held(columns), student.parameters(columns, outputs)))
    recipes = (replace(space.preset, student=largest, assistant=each) for each in space.assistants())
    return max(recipes, key=lambda recipe: needed.of(prepared.inputs, recipe).member)
