"""Write a student as files that load without this package."""
