"""Where state lives: addresses of databases, folders, files that are written whole or not at all."""
