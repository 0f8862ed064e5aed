"""`etl-core status FILE...`: where pipelines stand, read from their state stores."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from etl_core.cli.options import common, documents, json_output, settings
from etl_core.cli.output import print_json, print_table, short

__all__ = ["command", "moment"]

#: How many dead letters are counted; they have to be read for it.
_COUNTED = 1000


@click.command("status")
@documents
@json_output
@common
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """Say who runs each pipeline, and what became durable last."""
    settings().start_logging()
    found = [_status(file) for file in files]
    if as_json:
        print_json(found)
        return
    print_table(
        ["PIPELINE", "RUNNING", "SAVED", "DEAD LETTERS", "POSITION"],
        [
            (
                one["pipeline"],
                one["holder"] or "no",
                one["saved_at"] or "never",
                f"{one['dead_letters']}{'+' if one['dead_letters'] == _COUNTED else ''}",
                short(one["position"]["value"]) if one["position"] else "-",
            )
            for one in found
        ],
    )


def _status(file: Path) -> dict[str, Any]:
    from etl_core.resolve import load_document, load_state

    document = load_document(file)
    name, state = document.pipeline, load_state(document)
    try:
        position, history = state.load(name), state.history(name, 1)
        return {
            "document": str(file),
            "pipeline": name,
            "holder": state.holder(name),
            "position": position.to_json() if position else None,
            "saved_at": moment(history[0].at) if history else None,
            "dead_letters": len(state.dead_letters(name, _COUNTED)),
        }
    finally:
        state.close()


def moment(at: float) -> str:
    """Write Unix seconds as UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
