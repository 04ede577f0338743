"""The store in one SQLite file, through APSW, whose SQLite is its own and not the system's."""
