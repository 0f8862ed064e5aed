"""`etl-core preview FILE`: a few rows, as they would be loaded."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl_core.cli.opening import opened
from etl_core.cli.options import common, document, json_output, settings
from etl_core.cli.output import print_json, print_table, short
from etl_core.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from etl_core.model import Stream

__all__ = ["command"]

_WIDTH = 40
_NEEDED = ("extract", "transform", "load")


@click.command("preview")
@document
@click.option(
    "--streams", "patterns", multiple=True, metavar="PATTERN", help="Only streams that fit; may repeat."
)
@click.option("--rows", type=click.IntRange(1), default=10, show_default=True, help="Rows per stream.")
@json_output
@common
def command(file: Path, patterns: tuple[str, ...], rows: int, as_json: bool) -> None:
    """Show rows of the source of FILE, transforms applied; nothing is written anywhere."""
    from etl_core.engine.operations import sample

    settings().start_logging()
    tables = {}
    for stream in _streams(file, patterns):
        with opened(file, *_NEEDED) as connectors:
            tables[stream] = sample(connectors, stream, rows)
    if as_json:
        print_json({str(stream): table.to_pylist() for stream, table in tables.items()})
        return
    for stream, table in tables.items():
        _print(stream, table)


def _streams(file: Path, patterns: tuple[str, ...]) -> list[Stream]:
    from etl_core.engine.operations import discover

    with opened(file, *_NEEDED) as connectors:
        names = sorted(info.stream for info in discover(connectors))
    chosen = [
        name for name in names if any(fnmatchcase(str(name), pattern) for pattern in patterns or ("*",))
    ]
    if not chosen:
        raise ConfigError(
            "no stream fits",
            "`etl-core discover` lists them",
            document=file,
            patterns=", ".join(patterns) or None,
        )
    return chosen


def _print(stream: Stream, table: pa.Table) -> None:
    click.echo(click.style(f"{stream}   ({table.num_rows} rows)", bold=True))
    if table.num_rows:
        print_table(table.column_names, [map(_cell, row.values()) for row in table.to_pylist()])
    click.echo()


def _cell(value: object) -> str:
    return short(value if value is None else str(value), _WIDTH)
