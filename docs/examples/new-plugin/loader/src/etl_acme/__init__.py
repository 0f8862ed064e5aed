"""A history with the day of each change."""
