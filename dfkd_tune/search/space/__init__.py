"""What a study searches: leaves of the recipe, their domains, what is fixed, and the defaults by kind of teacher."""
