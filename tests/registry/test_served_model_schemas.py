"""Why a registered model that takes tables declares no inputs: no declaration of MLflow takes all that it does."""

import json
import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.signature import ModelSignature
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType
from served_models import NAMES, ROWS

FRAME = pd.DataFrame(ROWS, columns=NAMES)
SPLIT = {"columns": NAMES, "data": ROWS.tolist()}


def scored(model, body: str, kind: str) -> None:
    scoring_server.invocations(body, kind, model, model.metadata.get_input_schema())


ASKED = {
    "float64": lambda model: model.predict(FRAME),
    "int64": lambda model: model.predict(FRAME.astype("int64")),
    "bool": lambda model: model.predict(FRAME.assign(valve=FRAME["valve"] > 0)),
    "nullable": lambda model: model.predict(FRAME.astype("Int64")),
    "dataframe_split": lambda model: scored(model, json.dumps({"dataframe_split": SPLIT}), "application/json"),
    "csv": lambda model: scored(model, FRAME.to_csv(index=False), "text/csv"),
}
"""What users ask in -> how."""
WHOLE = {"int64", "bool", "nullable"}
DECLARED = {
    "nothing": (None, set()),
    "double": ([ColSpec("double", name) for name in NAMES], WHOLE),
    "optional double": ([ColSpec("double", name, required=False) for name in NAMES], WHOLE),
    "any": ([ColSpec(AnyType(), name) for name in NAMES], {"csv"}),
    "tensors": ([TensorSpec(np.dtype("float64"), (-1,), name) for name in NAMES], {"csv"}),
    "type hints": ([ColSpec("double", name) for name in NAMES], {"dataframe_split"}),
}
"""Declaration -> its inputs, and what MLflow refuses with it. One that refuses nothing would show the names of the features."""


@pytest.mark.parametrize("declared", DECLARED)
def test_mlflow_refuses_what_a_user_asks(models, tmp_path, declared):
    inputs, refused = DECLARED[declared]
    shutil.copytree(models / "named", tmp_path / "model")
    about = Model.load(str(tmp_path / "model"))
    if inputs is not None:
        about.signature = ModelSignature(inputs=Schema(inputs), outputs=about.signature.outputs)
        about.signature._is_signature_from_type_hint = declared == "type hints"
        about.save(str(tmp_path / "model" / "MLmodel"))
    model, found = mlflow.pyfunc.load_model(str(tmp_path / "model")), set()
    for asked, ask in ASKED.items():
        try:
            ask(model)
        except MlflowException:
            found.add(asked)
    assert found == refused
