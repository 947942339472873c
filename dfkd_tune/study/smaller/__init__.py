"""The smallest student within a share of the best: which sizes are tried, and how they are trained and recorded."""
