"""Where the shipped quickstart lies: inside an installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def quickstart() -> Path:
    """The study file of the quickstart."""
    inside, beside = PACKAGE / "studies" / "quickstart.yaml", PACKAGE.parent / "studies" / "quickstart.yaml"
    return inside if inside.exists() else beside
