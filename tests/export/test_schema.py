"""The schema of a student's inputs: read from its ``result.json``, and a drop-in student is one of rows again."""

import json

import torch
from torch import nn

from dfkd_tune.export.schema import InputSchema
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.signature import Argument, Output, Signature

RESULT = {
    "features": ["load", "grade", "gate"],
    "center": [10.0, 0.0, 0.0],
    "scale": [2.0, 1.0, 1.0],
    "dtype": "float32",
    "levels": {"grade": ["low", "high", None], "gate": [0.5, 2.5]},
    "gapped": ["load"],
    "form": {"takes": None, "returns": None, "vector": False},
    "domain": None,
    "example": [[9.0, 1.0, 0.5], [None, None, 2.5]],
}
LAYOUT = Layout(
    Signature.positional(
        [Argument("signal", (2,), torch.float64), Argument("level", (), torch.float64)],
        [Output("y", (1,), torch.float64)],
    )
)


def of(**changes) -> InputSchema:
    return InputSchema.of(json.loads(json.dumps(RESULT | changes)))


def test_words_are_codes_and_null_is_a_missing_value():
    schema = of()
    assert schema.encoding.levels == {1: [0.0, 1.0, "missing"], 2: [0.5, 2.5]} and schema.encoding.gapped == [0]
    assert schema.rows.dtype == torch.float32 and of(dtype="float64").rows.dtype == torch.float64
    assert schema.rows[0].tolist() == [9.0, 1.0, 0.5] and schema.rows[1].isnan().tolist() == [True, True, False]
    assert schema.encoding.module()(schema.rows).isfinite().all()


def test_a_student_of_rows_is_taken_as_it_is():
    schema, network = of(), nn.Linear(3, 1)
    assert schema.drop_in(network) is network and schema.flat(network) is network
    assert not schema.steps(torch.ones(2, 1)).any() and schema.student(network, 4).dtype == torch.float32


def test_a_drop_in_student_is_asked_by_rows_again():
    plain = {"levels": {}, "gapped": [], "domain": None, "example": [[9.0, 1.0, 0.5], [8.0, 0.0, 2.5]]}
    schema, network = of(layout=LAYOUT.tree(), **plain), nn.Linear(3, 1)
    assert schema.student(network, 4).dtype == torch.float64  # the dtype that the teacher takes
    rows = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = schema.flat(schema.drop_in(network))(rows)
        torch.testing.assert_close(y.float(), network(rows.float()))
