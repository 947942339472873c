"""Errors in words of Python: places and remedies name arguments where the command line has options and keys of a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dfkd_tune.errors import DfkdError, FeaturesError, SpecError, TeacherError

ARGUMENTS = {
    "--teacher PATH": "teacher=PATH",
    "--features PATH": "features=PATH",
    "--trust-pickle": "trust_pickle=True",
    "--architecture PATH": "architecture=PATH",
    "--architecture FILE": "architecture=FILE",
    "--teacher MODULE:FUNCTION": "teacher=function",
    "--workers 1": "workers=1",
    "--n-trials": "n_trials",
    "--timeout": "timeout",
    "--device auto": 'device="auto"',
    "--device cuda": 'device="cuda"',
    "--device": "device",
    "--name": "name",
    "--storage": "storage",
    "--tracking-uri": "tracking_uri",
    "--window": "window",
    "--group": "group",
    "--time": "time",
    "--target": "targets",
    "--at-least": "at_least",
    "--trial": "trial",
    "--format": "kind",
    "--no-libm": "libm=False",
    "--guard": "guard=True",
    "--model": "model",
    "--alias": "alias",
    "give a features file": "give features, or a few rows as example_inputs",
    "run the same command again": "run the same call again",
}
"""Words of the command line that a message may hold -> their counterparts in Python."""
KEYS = {
    "study.trials": "n_trials",
    "study.name": "name",
    "study.seed": "seed",
    "study.objective": "objective",
    "study.timeout": "timeout",
    "student.max_parameters": "max_parameters",
    "student.compression": "compression",
}
"""Key of a study file -> the argument that sets it."""
ONE_STUDENT = {"budget.steps": "steps", "budget.batch": "batch"}
"""The same for functions that have no ``budget`` of a study alone."""
_WORD = re.compile("|".join(map(re.escape, sorted(ARGUMENTS, key=len, reverse=True))))


@contextmanager
def in_python(function: str = "") -> Iterator[None]:
    """Word the errors of a block for a caller in Python.

    Args:
        function: public name of the function whose arguments the block reads; errors begin with it.
    """
    try:
        yield
    except DfkdError as error:
        place, rule, remedy = (_WORD.sub(lambda found: ARGUMENTS[found.group()], text) for text in _told(error))
        if function:
            place, remedy = _argument(function, place), _remedy(function, place, remedy, error)
        if (place, rule, remedy) == _told(error):
            raise
        raise type(error)(place, rule, remedy=remedy) from error.__cause__


def _told(error: DfkdError) -> tuple[str, str, str]:
    return error.place, error.rule, error.remedy


def _argument(function: str, place: str) -> str:
    """A place with the argument in place of the key."""
    named = KEYS if function == "tune" else KEYS | ONE_STUDENT
    key = place.removeprefix(f"{function}: ")
    return f"{function}: {named[key]}" if key in named else place


def _remedy(function: str, place: str, remedy: str, error: DfkdError) -> str:
    """A remedy that sends nobody to a file or to a command."""
    ours = place.startswith((f"{function}: ", *KEYS))
    if isinstance(error, SpecError | FeaturesError) and ours and error.remedy == error.NEXT:
        return f"correct the argument; help(dfkd_tune.{function}) describes it"
    if isinstance(error, TeacherError) and ours and error.remedy == error.NEXT:
        return "correct the object, or give its file"
    return remedy
