"""Whether a row is one that the declared inputs may have: the guard that travels with a student."""
