"""The command `etl-core demo`."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from etl_demo import keeping
from etl_demo.story import Report, Story, prepare
from etl_demo.view import show, show_kept

__all__ = ["demo"]

_KEPT = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go; must be empty or absent. Default: a new temporary directory.",
)
@click.option(
    "--rows",
    default=20_000,
    show_default=True,
    type=click.IntRange(40, 10_000_000),
    help="About how many rows the shop opens with.",
)
@click.option(
    "--pg",
    "version",
    default="16",
    show_default=True,
    type=click.Choice(["16", "18"]),
    help="PostgreSQL's major version.",
)
@click.option("--keep", is_flag=True, help="Leave PostgreSQL running, for play.")
@click.option(
    "--compare",
    "compared",
    metavar="DIR",
    type=_KEPT,
    help="Compare again what an earlier demonstration kept.",
)
@click.option(
    "--stop",
    "stopped",
    metavar="DIR",
    type=_KEPT,
    help="Stop the PostgreSQL that an earlier demonstration kept.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def demo(
    context: click.Context,
    directory: Path | None,
    rows: int,
    version: str,
    keep: bool,
    compared: Path | None,
    stopped: Path | None,
    as_json: bool,
) -> None:
    """Copy a small shop from a private PostgreSQL to DuckDB, through a crash, and compare.

    Starts a PostgreSQL of its own, fills a shop, and runs a pipeline that copies it into a DuckDB file and
    follows every change made meanwhile: inserts, updates, key changes, deletes, large values, rollbacks, a
    new column. The pipeline is killed once and resumes. In the end every value is compared.

    Exits with 1 if a single value differs.
    """
    console = Console(stderr=as_json)
    if stopped is not None:
        keeping.stop(stopped)
        return
    if compared is not None:
        report = keeping.compare_again(compared)
    else:
        home = prepare(directory or Path(tempfile.mkdtemp(prefix="etl-demo-")))
        report = _play(console, home, rows, int(version), keep=keep)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2, default=str))
    else:
        show(console, report)
    if keep:
        show_kept(console, report, keeping.server_of(report.directory, int(version)).program("psql"))
    context.exit(0 if report.equal else 1)


def _play(console: Console, directory: Path, rows: int, version: int, *, keep: bool) -> Report:
    server = keeping.server_of(directory, version)
    began = time.monotonic()

    def tell(text: str) -> None:
        console.print(
            f"[green]✓[/] {time.monotonic() - began:5.1f} s  {escape(text)}", highlight=False, soft_wrap=True
        )

    try:
        with console.status("") as status:
            report = Story(directory, version, rows, tell, lambda text: status.update(escape(text))).play(
                server
            )
        if keep:
            server.leave()
        return report
    finally:
        server.close()
