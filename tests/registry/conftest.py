"""Models as they are registered, loaded as their users load them."""

from pathlib import Path

import mlflow
import pytest
from served_models import save_models


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Path:
    """The folder of the models that ``save_models`` makes."""
    folder = tmp_path_factory.mktemp("models")
    save_models(folder)
    return folder


@pytest.fixture(scope="session")
def named(served):
    return mlflow.pyfunc.load_model(str(served / "named"))


@pytest.fixture(scope="session")
def plain(served):
    return mlflow.pyfunc.load_model(str(served / "plain"))


@pytest.fixture(scope="session")
def mixed(served):
    return mlflow.pyfunc.load_model(str(served / "mixed"))
