"""What the steps of a cohort are made of: their schedules, and their replay on a GPU."""
