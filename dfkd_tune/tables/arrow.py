"""Arrow's functions on columns, for a type checker's sake in one place."""

from __future__ import annotations

from typing import Any


def functions() -> Any:
    """``pyarrow.compute``, which defines its functions as it is imported, so that no type checker knows them."""
    import pyarrow.compute

    return pyarrow.compute
