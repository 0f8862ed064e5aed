"""`etl-core discover FILE`: what the source has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl_core.cli.opening import opened
from etl_core.cli.options import common, document, json_output, settings
from etl_core.cli.output import amount, print_json

if TYPE_CHECKING:
    from etl_core.model import StreamInfo

__all__ = ["command"]


@click.command("discover")
@document
@json_output
@common
def command(file: Path, as_json: bool) -> None:
    """List the streams that the source of the document FILE reads, with columns and keys."""
    from etl_core.engine.operations import discover

    settings().start_logging()
    with opened(file, "extract") as connectors:
        infos = sorted(discover(connectors), key=lambda info: info.stream)
    if as_json:
        print_json([_as_json(info) for info in infos])
    else:
        click.echo("\n".join(line for info in infos for line in _lines(info)) or "no streams")


def _as_json(info: StreamInfo) -> dict[str, Any]:
    columns = [
        {"name": field.name, "type": str(field.type), "nullable": field.nullable} for field in info.schema
    ]
    return {
        "stream": str(info.stream),
        "key": list(info.key),
        "stable_seq": info.stable_seq,
        "estimate": info.estimate,
        "columns": columns,
    }


def _lines(info: StreamInfo) -> Iterator[str]:
    key = f"key: {', '.join(info.key)}" if info.key else "no key"
    rows = "" if info.estimate is None else f", about {amount(info.estimate)} rows"
    yield f"{click.style(str(info.stream), bold=True)}   ({key}{rows})"
    width = max((len(name) for name in info.schema.names), default=0)
    for field in info.schema:
        yield f"  {field.name.ljust(width)}  {field.type}{'' if field.nullable else ' not null'}"
