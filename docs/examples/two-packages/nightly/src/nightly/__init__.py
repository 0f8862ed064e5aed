"""Runs every document of a directory once."""
