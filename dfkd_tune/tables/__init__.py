"""``describe``: what may be told of a table, where the data live. Nothing else in the package reads a real row."""
