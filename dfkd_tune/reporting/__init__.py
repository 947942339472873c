"""Report the findings of a study as text and figures: in the terminal, as an HTML page, and in MLflow."""
