"""Errors in words of Python: a remedy names an argument where the command line has an option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dfkd_tune.errors import DfkdError

ARGUMENTS = {
    "--trust-pickle": "trust_pickle=True",
    "--architecture FILE": "architecture=FILE",
    "--teacher MODULE:FUNCTION": "teacher=function",
    "give a features file": "give features",
    "--workers 1": "workers=1",
    "--name": "name",
    "--storage": "storage",
    "--tracking-uri": "tracking_uri",
}
"""Options of the command line that a message may name -> their counterparts in Python."""
_OPTION = re.compile("|".join(map(re.escape, ARGUMENTS)))


@contextmanager
def in_python() -> Iterator[None]:
    """Word the errors of a block for a caller in Python."""
    try:
        yield
    except DfkdError as error:
        rule, remedy = (
            _OPTION.sub(lambda found: ARGUMENTS[found.group()], text) for text in (error.rule, error.remedy)
        )
        if (rule, remedy) == (error.rule, error.remedy):
            raise
        raise type(error)(error.place, rule, remedy=remedy) from error.__cause__
