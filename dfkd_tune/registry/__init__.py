"""Certify the student of a recorded run and register it as an MLflow model that takes data frames."""
