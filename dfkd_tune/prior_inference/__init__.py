"""What a teacher tells of the inputs that it was trained on, beyond what is declared of them."""
