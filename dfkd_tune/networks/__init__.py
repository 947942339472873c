"""Networks over windows and grids as they are stored and exported, one file each."""
