"""Rows of the CSV files in a directory."""
