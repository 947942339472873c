"""A study file with the options of the command line applied to it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfkd_tune.cli.options import ARCHITECTURE, MAX_QUERIES, duration, share

if TYPE_CHECKING:
    from dfkd_tune.search.study_file import StudySpec


@dataclass(frozen=True)
class Changes:
    """What options replace in a study file; None leaves it as it is."""

    n_trials: int | None = None
    teacher: str | None = None
    architecture: str | None = None
    features: str | None = None
    name: str | None = None
    pareto: str | None = None
    runtime: str | None = None
    within: float | None = None
    seed: int | None = None
    timeout: float | None = None
    max_queries: int | None = None


def study_changes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument SPEC and the options that replace what it says; the command gets them as ``spec`` and ``changes``."""

    @click.argument("spec", required=False, type=click.Path())
    @click.option(
        "--n-trials", type=click.IntRange(min=1), help="Total number of trials of the study, earlier sessions included."
    )
    @click.option("--teacher", help="Model file or package.module:function; replaces the teacher in SPEC.")
    @ARCHITECTURE
    @click.option("--features", type=click.Path(), help="Features file; replaces the one in SPEC.")
    @click.option("--name", help="Name of the study.")
    @click.option("--pareto", "pareto", flag_value="parameters", help="Minimize error and number of parameters.")
    @click.option("--pareto-latency", "pareto", flag_value="latency", help="Minimize error and measured latency.")
    @click.option(
        "--runtime",
        type=click.Choice(["PyTorch", "pt2", "onnxruntime", "C", "C without libm"], case_sensitive=False),
        help="With --pareto-latency: what the student will run in; default: plain PyTorch.",
    )
    @click.option(
        "--within",
        type=share,
        metavar="SHARE",
        help="Promote the smallest student whose objective is at most this share above the best, such as 5%.",
    )
    @click.option("--seed", type=click.IntRange(min=0), help="Random seed of the study.")
    @click.option(
        "--timeout",
        type=duration,
        metavar="TIME",
        help="Begin no trial after this time: 90s, 30m, 2h. The study is then concluded.",
    )
    @MAX_QUERIES
    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        changes = Changes(**{each.name: options.pop(each.name) for each in fields(Changes)})
        return command(*args, changes=changes, **options)

    return run


def spec_of(spec: str | None, changes: Changes) -> StudySpec:
    """Read the study file and apply the command-line options. What names no file is refused before PyTorch is imported."""
    from dataclasses import replace

    from dfkd_tune.cli.quickstart import quickstart
    from dfkd_tune.errors import SpecError
    from dfkd_tune.locations.paths import NAME
    from dfkd_tune.registry.sources import Sources
    from dfkd_tune.utils import yaml_io

    teacher, architecture, features = changes.teacher, changes.architecture, changes.features
    name, within = changes.name, changes.within
    if spec is None and teacher is not None:
        file, tree = Path(f"{Path(teacher.replace(':', '.')).stem}.yaml"), {"teacher": teacher}
    else:
        file = Path(spec) if spec else quickstart()
        tree = yaml_io.read(file, SpecError)
    Sources(teacher, architecture, features).require()
    if name is not None and not NAME.fullmatch(name):
        raise SpecError(
            "--name", f"must be letters, digits, '_', '.', '-' (100 at most), got {name!r}", remedy="give another"
        )
    if within is not None and within >= 1:
        raise SpecError("--within", f"must be below 100%, got {100 * within:g}%", remedy="give a share such as 5%")
    from dfkd_tune.search.study_file import TeacherSection, spec_beside

    read = spec_beside(file, tree)
    study = {
        "--n-trials": ("trials", changes.n_trials),
        "--name": ("name", name),
        "--pareto": ("pareto", changes.pareto),
        "--seed": ("seed", changes.seed),
        "--timeout": ("timeout", changes.timeout),
        "--within": ("within", within),
        "--runtime": ("runtime", changes.runtime),
    }
    read = replace(read, study=_with(read.study, study), seeded=read.seeded or changes.seed is not None)
    read = replace(read, budget=_with(read.budget, {"--max-queries": ("total_queries", changes.max_queries)}))
    if teacher is not None or architecture is not None:
        read = replace(
            read,
            teacher=TeacherSection(
                teacher or read.teacher.path, architecture or (None if teacher else read.teacher.architecture)
            ),
        )
        if teacher is not None and features is None:
            read = replace(read, features=None)
    return read if features is None else replace(read, features=features)


def _with(section: Any, options: Mapping[str, tuple[str, Any]]) -> Any:
    """A section of the study file with the values of options: option -> field, and its value or None.

    Raises:
        SpecError: a value is invalid; the message names its option.
    """
    from dfkd_tune.errors import SpecError
    from dfkd_tune.utils.strategy import build

    for option, (field, value) in options.items():
        if value is None:
            continue
        held = {each.name: getattr(section, each.name) for each in fields(section)} | {field: value}
        try:
            section = build(type(section), {name: kept for name, kept in held.items() if kept is not None}, option)
        except SpecError as error:
            if error.place != f"{option}.{field}":  # a rule about another key of the file, too
                raise
            raise SpecError(option, error.rule, remedy="give another value") from None
    return section
