"""The SQLite file of a storage: whether it is intact, and its studies, read without SQLAlchemy."""
