"""From a recorded run to a certified, registered model that takes its users' tables."""
