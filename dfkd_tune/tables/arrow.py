"""Access to Arrow's column functions in one place, for the type checker."""

from __future__ import annotations

from typing import Any


def functions() -> Any:
    """``pyarrow.compute``, untyped, because it defines its functions at import and type checkers do not know them."""
    import pyarrow.compute

    return pyarrow.compute
