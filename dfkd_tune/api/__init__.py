"""The package for Python users: ``distill`` one student, ``tune`` a study, and read its ``Result``."""
