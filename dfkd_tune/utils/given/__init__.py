"""What people give: durations, and arguments of public functions."""
