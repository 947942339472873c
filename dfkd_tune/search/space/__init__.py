"""The search space of a study: searched leaves and their domains, fixed leaves, and defaults by kind of teacher."""
