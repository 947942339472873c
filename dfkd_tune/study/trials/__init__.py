"""The trials that one process of a study trains."""
