"""Registers deliberately wrong kinds."""

from contextlib import contextmanager

import pytest


@pytest.fixture
def register():
    """Context manager under which a registry knows a kind as ``wrong``."""

    @contextmanager
    def registered(registry, kind):
        registry._own["wrong"] = kind
        try:
            yield
        finally:
            del registry._own["wrong"]

    return registered
