"""The state stores that come with the core; a plugin through the public hooks."""
