"""One trial's choices: a file for each family of strategies, and the recipe that holds one of each."""
