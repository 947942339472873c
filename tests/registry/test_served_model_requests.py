"""Requests in JSON and CSV to a registered model, by MLflow's handler and by its server."""

import json
import sys
import urllib.error
import urllib.request

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from processes import free_port, serving
from served_models import FAR, ROWS, answers_of

RECORDS = [
    {"load": FAR, "grade": "high", "gate": 2.5, "rank": "other", "id": 1},
    {"load": 2, "grade": None, "gate": None, "rank": 1, "id": 2},
]
ANSWERS = [[FAR, 1, 2.5, 2], [2, -7, -7, 0]]
BODIES = {
    "dataframe_split": {"columns": list(RECORDS[0]), "data": [list(record.values()) for record in RECORDS]},
    "dataframe_records": RECORDS,
    "instances": RECORDS,
    "inputs": {name: [record[name] for record in RECORDS] for name in reversed(RECORDS[0])},
}
CSV = f"id,rank,gate, grade ,load\n1,other,2.5,high,{FAR}\n2,1,,,2\n"


def through(model, body: str, kind: str = "application/json") -> list[list[float]]:
    """Answers by the handler of ``mlflow models serve``."""
    answer = scoring_server.invocations(body, kind, model, model.metadata.get_input_schema())
    assert answer.status == 200
    told = json.loads(answer.response)["predictions"]
    return [list(row.values()) if isinstance(row, dict) else row for row in told]


@pytest.mark.parametrize("key", BODIES)
def test_requests_in_json(mixed, key):
    assert through(mixed, json.dumps({key: BODIES[key]})) == ANSWERS


def test_requests_in_csv(mixed, plain):
    assert through(mixed, CSV, "text/csv") == ANSWERS
    rows = "".join(f"{b:g},{a:g},{c:g}\n" for a, b, c in ROWS)
    np.testing.assert_allclose(through(plain, "x1,x0,x2\n" + rows, "text/csv"), answers_of(ROWS), rtol=1e-5)
    body = pd.DataFrame(ROWS).to_csv(index=False)
    np.testing.assert_allclose(through(plain, body, "text/csv"), answers_of(ROWS), rtol=1e-5)
    with pytest.raises(MlflowException, match="header: holds numbers"):
        through(plain, rows, "text/csv")


def test_requests_without_names(plain):
    for body in ({"instances": ROWS.tolist()}, {"inputs": ROWS.tolist()}, {"dataframe_split": {"data": ROWS.tolist()}}):
        np.testing.assert_allclose(through(plain, json.dumps(body)), answers_of(ROWS), rtol=1e-5)


def test_a_server_answers_and_says_what_is_wrong(models, tmp_path):
    """The whole ``mlflow models serve``; tests/test_docs.py follows the tutorial's words."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(models / "mixed")]
    command += ["--env-manager", "local", "--port", str(port), "--workers", "1"]

    def post(body: str, kind: str) -> list[list[float]]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body.encode(), {"Content-Type": kind}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return [list(row.values()) for row in json.loads(answer.read())["predictions"]]

    with serving(command, f"http://127.0.0.1:{port}/ping", tmp_path):
        for key, body in BODIES.items():
            assert post(json.dumps({key: body}), "application/json") == ANSWERS
        assert post(CSV, "text/csv; charset=utf-8") == ANSWERS
        for body, kind in (
            (json.dumps({"instances": [RECORDS[0] | {"grade": "medium"}]}), "application/json"),
            (CSV.replace("high", "medium"), "text/csv"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                post(body, kind)
            assert refused.value.code == 400
            assert "column 'grade': holds 'medium', which is no level" in json.loads(refused.value.read())["message"]
