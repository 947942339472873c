"""Conformance tests for strategies and formats. Use them to test your own plug-in by its registered name.

    from dfkd_tune.testing import check_generator

    def test_my_generator():
        check_generator("mine")

Each ``check_*`` runs in seconds. It raises ``AssertionError`` if a law of the interface is broken, with the law as a note. Each law is
one function in the modules ``strategies``, ``generators``, ``bounds``, ``initializers``, ``students`` and ``formats``.
"""

from dfkd_tune.testing.bounds import check_gap_bound, check_input_bound
from dfkd_tune.testing.formats import check_export, check_teacher_format
from dfkd_tune.testing.generators import check_generator
from dfkd_tune.testing.initializers import check_initializer
from dfkd_tune.testing.strategies import check_strategy
from dfkd_tune.testing.students import check_student

__all__ = [
    "check_export",
    "check_gap_bound",
    "check_generator",
    "check_initializer",
    "check_input_bound",
    "check_strategy",
    "check_student",
    "check_teacher_format",
]
