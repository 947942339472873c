"""A model that takes tables gets data frames by the declared names, also without names of its own; other objects get arrays."""

import numpy as np
import pandas as pd
import pytest
import torch

from dfkd_tune.prior_inference.resolve import with_inputs
from dfkd_tune.teachers.black_box import from_estimator
from dfkd_tune.teachers.table_model import TableModel


class Table(TableModel):
    """Keeps what it gets."""

    def predict(self, rows):
        self.rows = rows
        return np.asarray(rows).sum(axis=1)


class Arrays(Table):
    """Says that it takes none."""

    @property
    def takes_frames(self):
        return False


class Other:
    """Something with the same method."""

    predict = Table.predict


@pytest.mark.parametrize("kind, given", [(Table, pd.DataFrame), (Arrays, np.ndarray), (Other, np.ndarray)])
def test_rows_come_as_the_model_takes_them(kind, given, tmp_path):
    (tmp_path / "features.yaml").write_text("features: [load, flow]")
    teacher, _ = with_inputs(from_estimator("t", kind(), "sha"), tmp_path / "features.yaml")
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    assert teacher(x).flatten().tolist() == [3.0, 7.0]
    assert type(teacher.estimator.rows) is given
    if given is pd.DataFrame:
        assert [*teacher.estimator.rows.columns] == ["load", "flow"]
