"""Read the studies of an SQLite file without SQLAlchemy."""
