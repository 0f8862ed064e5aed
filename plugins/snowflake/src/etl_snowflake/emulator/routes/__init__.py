"""The routes of the emulator: SQL, streaming, stages, and control."""
