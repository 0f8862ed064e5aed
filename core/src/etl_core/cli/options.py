"""What every command understands, and where it is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from attrs import define

from etl_core.cli.failures import report

__all__ = ["Settings", "common", "confirm", "document", "documents", "json_output", "settings"]

F = TypeVar("F", bound=Callable[..., Any])


@define
class Settings:
    """What was asked for on the command line, before or after the command's name."""

    debug: bool = False
    quiet: bool = False
    verbose: int = 0
    log_format: str = "human"

    def start_logging(self) -> None:
        """Send log lines to stderr as asked."""
        from etl_core.cli.logs import configure

        configure(self.log_format, level=self._level(), debug=self.debug)

    def report(self, error: BaseException) -> int:
        """Say on stderr what happened, as asked; return the exit code."""
        return report(error, debug=self.debug, log_format=self.log_format)

    def _level(self) -> str:
        if self.quiet:
            return "ERROR"
        return "DEBUG" if self.verbose or self.debug else "INFO"


def settings() -> Settings:
    """Return the settings of this invocation."""
    return click.get_current_context().find_root().ensure_object(Settings)


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep an option that was given; it counts in either place."""
    kept = ctx.find_root().ensure_object(Settings)
    if value:
        setattr(kept, str(param.name), value)


def _kept(*names: str, **options: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_keep, **options)


def common(command: F) -> F:
    """Add `--debug`, `--quiet`, `--verbose` and `--log-format`."""
    command = _kept("--log-format", type=click.Choice(["human", "json"]), help="How to log; default: human.")(
        command
    )
    command = _kept("-v", "--verbose", count=True, help="Log more.")(command)
    command = _kept("-q", "--quiet", is_flag=True, help="Log errors only; show no progress.")(command)
    return _kept("--debug", is_flag=True, help="Show tracebacks.")(command)


_FILE = click.Path(path_type=Path, dir_okay=False)

#: One pipeline document.
document = click.argument("file", type=_FILE)
#: One or more pipeline documents.
documents = click.argument("files", type=_FILE, nargs=-1, required=True, metavar="FILE...")
json_output = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
confirm = click.option("--yes", is_flag=True, help="Do not ask.")
