"""Arrow files in a directory."""
