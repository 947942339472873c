"""A network of one's own, from file to registered student: a study without the command line.

python examples/own_teacher.py
"""

from pathlib import Path

import pandas as pd
import torch
from torch import nn

from dfkd_tune import prepare, read_spec, register, run_study

STUDY = """
study: {name: own-teacher, trials: 20, seed: 0}
teacher: teacher.pt2
features: features.yaml
student: {compression: 5}
budget: {steps: 6000}
"""
FEATURES = "features: [{name: load, mean: 1000, std: 200}, {name: flow, range: [0, 5]}]\n"

torch.manual_seed(0)
scaled = nn.BatchNorm1d(2)  # stands for whatever brings raw units to where a network learns
scaled.running_mean, scaled.running_var = torch.tensor([1000.0, 2.5]), torch.tensor([4e4, 2.0])
teacher = nn.Sequential(scaled, nn.Linear(2, 100), nn.Tanh(), nn.Linear(100, 1)).eval()
rows = {0: torch.export.Dim("rows", min=1)}
torch.export.save(torch.export.export(teacher, (torch.zeros(2, 2),), dynamic_shapes=(rows,)), "teacher.pt2")
Path("features.yaml").write_text(FEATURES)
Path("study.yaml").write_text(STUDY)

Path("mlruns").mkdir(exist_ok=True)
tracking = "sqlite:///mlruns/mlflow.db"
found = run_study(prepare(read_spec(Path("study.yaml"))), "sqlite:///mlruns/optuna.db", tracking)
made = register(tracking, found.name, "own-teacher")
print(f"{made.uri}: RMSE {made.rmse:.4g}, worst gap found {made.worst_gap:.4g}")

import mlflow  # noqa: E402

mlflow.set_tracking_uri(tracking)
student = mlflow.pyfunc.load_model(made.uri)
print(student.predict(pd.DataFrame({"load": [900.0, 1100.0], "flow": [1.0, 4.0]})))
