"""Errors in words of Python: places and remedies name arguments where the command line has options and keys of a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dfkd_tune.errors import DfkdError, FeaturesError, SpecError, TeacherError

RENAMED = {"target": "targets", "format": "kind"}
"""Option -> the argument that has another name."""
SWITCHES = {"trust-pickle", "header", "guard", "typed-columns"}
"""Options without a value."""
VALUED = {
    "architecture", "decimal", "device", "encoding", "features", "format", "missing", "separator", "target", "teacher", "time", "workers"
}  # fmt: skip
"""Options whose value a message may give."""
PHRASES = {
    r"dfkd-tune --help lists the commands": "help(dfkd_tune) lists the functions",
    r"correct the file; dfkd-tune check [^;]*": "correct the file",
    r"dfkd-tune check loads and probes it": "dfkd_tune.load_teacher(path) loads it",
    r"dfkd-tune show (\S+) prints why its trials ended": r'dfkd_tune.load_result("\1").trials tells why its trials ended',
    r"dfkd-tune show (\S+)": r'dfkd_tune.load_result("\1").trials',
    r"run dfkd-tune study again": "call tune again",
    r"--no-libm\b": "libm=False",
    r"run the same command again": "run the same call again",
    r"give a features file with": "give features with",
    r"give a features file": "give features, or a few rows as example_inputs",
    r"(?:the )?features file\b": "features",
}
"""Words of the command line, as regular expressions -> their counterparts in Python."""
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
_OPTION = re.compile(
    r"(?<![\w/-])--(?P<name>[a-z]+(?:-[a-z]+)*)\b"
    r"(?: (?P<value>'[^']*'|[.,](?=\s|$)|(?!(?:or|and|if|to|for|of|in|at|where|which|that|leaves)\b)\w[\w:./-]*))?"
)


@contextmanager
def in_python(function: str = "") -> Iterator[None]:
    """Word the errors of a block for a caller in Python.

    Args:
        function: public name of the function whose arguments the block reads; errors begin with it.
    """
    try:
        yield
    except DfkdError as error:
        place, rule, remedy = map(worded, _told(error))
        if function:
            option = error.place.startswith("--")
            place = f"{function}: {place}" if option else _argument(function, place)
            remedy = _remedy(function, place, remedy, error)
        if (place, rule, remedy) == _told(error):
            raise
        raise type(error)(place, rule, remedy=remedy) from error.__cause__


def worded(text: str) -> str:
    """A part of a message with arguments in place of options, and functions in place of commands."""
    for phrase, ours in PHRASES.items():
        text = re.sub(phrase, ours, text)
    return _OPTION.sub(_as_argument, text)


def _as_argument(found: re.Match[str]) -> str:
    """An option as an argument, with its value if the message gives one."""
    option, value = found["name"], found["value"]
    name = RENAMED.get(option, option.replace("-", "_"))
    rest = "" if value is None else f" {value}"
    if option in SWITCHES:
        return f"{name}=True{rest}"
    if value is None or option not in VALUED:
        return f"{name}{rest}"
    if value == "MODULE:FUNCTION":
        return f"{name}=function"
    if value.isupper() or value.isdecimal():  # a placeholder or a number
        return f"{name}={value}"
    quoted = f'"{value.strip(chr(39))}"'
    return f"{name}=[{quoted}]" if name == "targets" else f"{name}={quoted}"


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
