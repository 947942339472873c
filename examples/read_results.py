"""Results of a study by MLflow alone: its trials as a table, and the files of the best.

python examples/read_results.py [NAME]
"""

import sys

import mlflow

name = sys.argv[1] if len(sys.argv) > 1 else "quickstart"
mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
trials = mlflow.search_runs(
    experiment_names=[name],
    filter_string="tags.`dfkd.kind` = 'trial' AND attributes.status = 'FINISHED'",
    order_by=["metrics.rmse ASC"],
)
print(trials[["params.trial", "metrics.rmse", "metrics.parameters", "params.generator.kind"]].head())
best = trials.iloc[0]
print(mlflow.artifacts.download_artifacts(f"runs:/{best['run_id']}/student", dst_path="best"))
