"""Whether a study on record is the one that is requested under its name."""
