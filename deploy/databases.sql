-- Run once, when PostgreSQL makes its data directory. Optuna's database is POSTGRES_DB; MLflow needs one of its own.
CREATE DATABASE mlflow;
