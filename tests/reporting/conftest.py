"""What tests of reports look at."""

import pytest


@pytest.fixture(params=["sqlite", "server"])
def done(request):
    """A finished study of six trials, recorded in a file and through a server."""
    return request.getfixturevalue("finished" if request.param == "sqlite" else "served")
