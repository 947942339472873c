"""Teachers behind HTTP: MLflow scoring servers and servers of the Open Inference Protocol."""
