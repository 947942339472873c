"""The total number of teacher queries of a study, counted in its storage."""
