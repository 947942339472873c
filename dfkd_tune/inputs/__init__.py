"""What is declared of a teacher's inputs, the prior drawn from it, and the raw rows that are exactly as declared."""
