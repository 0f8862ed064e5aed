"""Hides the values of columns."""
