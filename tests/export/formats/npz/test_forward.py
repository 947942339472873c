"""The module beside an ``.npz`` file answers where there is no PyTorch."""

import subprocess
import sys

import numpy as np
from small_students import made, schema

from dfkd_tune.export.export import export

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["dfkd_tune"] = None  # as if they were not installed
import numpy as np
from pump import forward
np.save("answers.npy", forward(np.load("pump.npz"), np.load("rows.npy")))
assert not any(name.partition(".")[0] in ("torch", "scipy") for name in sys.modules if sys.modules[name])
"""


def test_it_runs_without_pytorch(tmp_path):
    network, x = made("gru"), schema().more_rows(50)
    export(network, schema(), "numpy", tmp_path / "pump.npz")
    np.save(tmp_path / "rows.npy", x.numpy())
    (tmp_path / "run.py").write_text(WITHOUT_TORCH)
    subprocess.run([sys.executable, "run.py"], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), network(x).detach(), rtol=1e-5, atol=1e-5)
    assert {*np.load(tmp_path / "pump.npz").files} >= {"features", "weight_hh", "kind"}  # without pickles
