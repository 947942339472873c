"""Studies within a total number of teacher queries."""
