"""A network of one's own, from memory to registered student: a study without the command line.

python examples/own_teacher.py
"""

import pandas as pd
import torch
from torch import nn

import dfkd_tune as dt

FEATURES = {"load": {"mean": 1000, "std": 200}, "flow": {"range": [0, 5]}}

torch.manual_seed(0)
scaled = nn.BatchNorm1d(2)  # stands for whatever brings raw units to where a network learns
scaled.running_mean, scaled.running_var = torch.tensor([1000.0, 2.5]), torch.tensor([4e4, 2.0])
teacher = nn.Sequential(scaled, nn.Linear(2, 100), nn.Tanh(), nn.Linear(100, 1))

result = dt.tune(
    teacher, features=FEATURES, compression=5, n_trials=20, name="own-teacher", seed=0, budget={"steps": 6000}
)
made = result.register("own-teacher")
print(f"{made.uri}: RMSE {made.rmse:.4g}, worst gap found {made.worst_gap:.4g}")

import mlflow  # noqa: E402

mlflow.set_tracking_uri(result.tracking_uri)
student = mlflow.pyfunc.load_model(made.uri)
print(student.predict(pd.DataFrame({"load": [900.0, 1100.0], "flow": [1.0, 4.0]})))
