"""Infer a prior over the inputs from a teacher: from batch normalization, tree counts, scalers and encoders."""
