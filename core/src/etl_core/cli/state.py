"""`etl-core state`: look at a pipeline's positions, or forget them."""

from __future__ import annotations

from pathlib import Path

import click

from etl_core.cli.opening import opened
from etl_core.cli.options import common, confirm, document, json_output, settings
from etl_core.cli.output import print_json, print_table, short
from etl_core.cli.status import moment

__all__ = ["command"]


@click.group("state")
def command() -> None:
    """Show or reset the durable state of a pipeline."""


@command.command("show")
@document
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Positions to show.")
@json_output
@common
def show(file: Path, limit: int, as_json: bool) -> None:
    """List the positions saved for the pipeline of FILE, newest first; `--json` shows them whole."""
    from etl_core.resolve import load_document, load_state

    settings().start_logging()
    loaded = load_document(file)
    state = load_state(loaded)
    try:
        saved = state.history(loaded.pipeline, limit)
    finally:
        state.close()
    if as_json:
        print_json([{"saved_at": moment(one.at), "position": one.position.to_json()} for one in saved])
    elif saved:
        rows = [(moment(one.at), *one.position.order, short(one.position.value)) for one in saved]
        print_table(["SAVED", "EPOCH", "N", "VALUE"], rows)
    else:
        click.echo(f"{loaded.pipeline} has no saved position")


@command.command("reset")
@document
@confirm
@json_output
@common
def reset(file: Path, yes: bool, as_json: bool) -> None:
    """Forget where the pipeline of FILE stands and remove what its source created; it starts over."""
    from etl_core.engine import operations

    settings().start_logging()
    with opened(file) as connectors:
        if not yes:
            click.confirm(
                f"Forget the state of {connectors.name}, and start over at the next run?", abort=True
            )
        done = operations.reset(connectors)
    print_json(done) if as_json else click.echo("\n".join(done))
