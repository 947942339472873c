"""The choices of one trial: one file for each family of strategies, and the recipe that combines them."""
