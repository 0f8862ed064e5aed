"""Runs each pipeline in a process of its own."""
