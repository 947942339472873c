"""A study from start to end: prepared, run by one or many workers, its leaders run again, replayed, synchronized."""
