"""Training on the rows that a study's teacher has answered."""
