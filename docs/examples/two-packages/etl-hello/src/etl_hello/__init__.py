"""Greetings for etl-core."""
