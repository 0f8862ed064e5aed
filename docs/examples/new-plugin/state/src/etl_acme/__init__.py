"""State in SQLite files of a directory."""
