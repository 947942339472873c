"""A study file with the options of the command line applied to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfkd_tune.search.study_file import StudySpec


def spec_of(
    spec: str | None,
    n_trials: int | None,
    teacher: str | None,
    architecture: str | None,
    features: str | None,
    name: str | None,
    pareto: str | None,
    seed: int | None,
    timeout: float | None = None,
    max_queries: int | None = None,
    within: float | None = None,
    runtime: str | None = None,
) -> StudySpec:
    """Read the study file and apply the command-line options. What names no file is refused before PyTorch is imported."""
    from dataclasses import replace

    from dfkd_tune.cli.quickstart import quickstart
    from dfkd_tune.errors import SpecError
    from dfkd_tune.locations.paths import NAME
    from dfkd_tune.registry.sources import Sources
    from dfkd_tune.utils import yaml_io

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
        "--n-trials": ("trials", n_trials),
        "--name": ("name", name),
        "--pareto": ("pareto", pareto),
        "--seed": ("seed", seed),
        "--timeout": ("timeout", timeout),
        "--within": ("within", within),
        "--runtime": ("runtime", runtime),
    }
    read = replace(read, study=_with(read.study, study), seeded=read.seeded or seed is not None)
    read = replace(read, budget=_with(read.budget, {"--max-queries": ("total_queries", max_queries)}))
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
    from dataclasses import fields

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
