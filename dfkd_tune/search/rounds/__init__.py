"""The rounds of a seeded study."""
