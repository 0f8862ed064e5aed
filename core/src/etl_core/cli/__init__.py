"""The command line: `etl-core`, one module per command, each loaded when it is called."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from etl_core.cli.app import app

    app(prog_name="etl-core")
