"""`etl-core teardown FILE`: remove what a source left in its system."""

from __future__ import annotations

from pathlib import Path

import click

from etl_core.cli.opening import opened
from etl_core.cli.options import common, confirm, document, json_output, settings
from etl_core.cli.output import print_json

__all__ = ["command"]


@click.command("teardown")
@document
@confirm
@json_output
@common
def command(file: Path, yes: bool, as_json: bool) -> None:
    """Remove what the source of FILE created in its system, such as slots and publications.

    The state is kept: use `etl-core state reset` to start over.
    """
    from etl_core.engine import operations

    settings().start_logging()
    with opened(file) as connectors:
        if not yes:
            click.confirm(f"Remove what {connectors.name} created in its source?", abort=True)
        done = operations.teardown(connectors)
    print_json(done) if as_json else click.echo("\n".join(done) or "nothing to remove")
