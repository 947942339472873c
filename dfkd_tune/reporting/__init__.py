"""Findings in numbers, sentences and figures: for a terminal, a page, an MLflow note."""
