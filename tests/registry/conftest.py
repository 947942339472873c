"""Models as they are registered, loaded as their users load them."""

from pathlib import Path

import mlflow
import pytest
from served_models import save_models


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """The folder of the models that ``save_models`` makes."""
    folder = tmp_path_factory.mktemp("models")
    save_models(folder)
    return folder


@pytest.fixture(scope="session")
def named(models):
    return mlflow.pyfunc.load_model(str(models / "named"))


@pytest.fixture(scope="session")
def plain(models):
    return mlflow.pyfunc.load_model(str(models / "plain"))


@pytest.fixture(scope="session")
def mixed(models):
    return mlflow.pyfunc.load_model(str(models / "mixed"))


@pytest.fixture(scope="session")
def typed(models):
    return mlflow.pyfunc.load_model(str(models / "typed"))


@pytest.fixture(scope="session")
def typed_plain(models):
    return mlflow.pyfunc.load_model(str(models / "typed_plain"))
