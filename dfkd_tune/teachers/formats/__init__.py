"""One file a format of model file."""
