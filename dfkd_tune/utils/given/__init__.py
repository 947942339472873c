"""What people give: durations, shares, totals, and arguments of public functions."""
