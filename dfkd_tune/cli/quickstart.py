"""Find the shipped quickstart: inside an installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def quickstart() -> Path:
    """Return the path of the quickstart's study file."""
    inside, beside = PACKAGE / "studies" / "quickstart.yaml", PACKAGE.parent / "studies" / "quickstart.yaml"
    return inside if inside.exists() else beside
