"""The command line: `etl-core`, one module per command, each loaded when it is called."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from etl_core.cli.app import app
    from etl_core.cli.ending import end

    if hasattr(sys.stdout, "reconfigure"):  # a plugin's words may not fit the terminal's encoding, or any
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="etl-core")
    except SystemExit as error:
        end(error.code)
        raise
