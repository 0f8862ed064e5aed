"""`etl-core status FILE...`: where pipelines stand, by their state stores and their sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl_core.cli.figures import behind, copied, kept, rate
from etl_core.cli.options import common, documents, json_output, settings
from etl_core.cli.output import amount, print_json, print_table, short
from etl_core.errors import EtlError

if TYPE_CHECKING:
    from etl_core.document import Document
    from etl_core.interfaces import StateStore

__all__ = ["command", "moment"]

#: How many dead letters are counted; they have to be read for it.
_COUNTED = 1000


@click.command("status")
@documents
@json_output
@common
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """Say who runs the pipeline of each FILE, what became durable last, and how far the source is ahead.

    The lag is asked of the source now, running or not; rows are those that the last run counted: rows/s
    of its last seconds, or of the whole run once it has ended.
    """
    settings().start_logging()
    found = [_status(file) for file in files]
    if as_json:
        print_json(found)
        return
    headers = ["PIPELINE", "RUNNING", "SAVED", "LAG", "LOG KEPT", "DEAD LETTERS", "POSITION"]
    print_table(headers, [_row(one) for one in found])
    if streams := [row for one in found for row in _streams(one)]:
        click.echo()
        headers = ["PIPELINE", "STREAM", "PHASE", "READ", "WRITTEN", "READ/S", "WRITTEN/S", "MEASURED"]
        print_table(headers, streams)
    for one in found:
        if one["lag_error"]:
            click.echo(f"\n{one['pipeline']}: the lag is not known now: {one['lag_error']}{_before(one)}")


def _status(file: Path) -> dict[str, Any]:
    from etl_core.resolve import load_document, load_state

    document = load_document(file)
    state = load_state(document)
    try:
        found = _stored(document, state)
    finally:
        state.close()
    lag, error = _lag(document, found["position"])
    return {"document": str(file), **found, "lag": lag, "lag_error": error}


def _stored(document: Document, state: StateStore) -> dict[str, Any]:
    name = document.pipeline
    position, history, note = state.load(name), state.history(name, 1), state.noted(name)
    return {
        "pipeline": name,
        "holder": state.holder(name),
        "position": position.to_json() if position else None,
        "saved_at": moment(history[0].at) if history else None,
        "dead_letters": len(state.dead_letters(name, _COUNTED)),
        "last_run": _last_run(note) if note else None,
    }


def _last_run(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return a note with its moments as text; one of an older version does not say when its lag was."""
    lag_at = note.get("lag_at", note["at"]) if note["lag"] else None
    return {**note, "at": moment(note["at"]), "lag_at": None if lag_at is None else moment(lag_at)}


def _lag(document: Document, position: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, str | None]:
    """Ask the source; return its lag as JSON, or why that is not known."""
    from etl_core.engine.operations import lag
    from etl_core.resolve import load_source

    try:
        found = lag(document.pipeline, load_source(document), position["value"] if position else None)
    except EtlError as error:
        return None, f"{type(error).__name__}: {error}"
    return (found.to_json() if found else None), None


def _row(one: Mapping[str, Any]) -> Sequence[object]:
    letters = one["dead_letters"]
    return (
        one["pipeline"],
        one["holder"] or "no",
        one["saved_at"] or "never",
        "unknown" if one["lag_error"] else behind(one["lag"]) or "-",
        kept(one["lag"]) or "-",
        f"{letters}{'+' if letters == _COUNTED else ''}",
        short(one["position"]["value"]) if one["position"] else "-",
    )


def _streams(one: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    """Yield a row for each stream that the last run moved, as far as that is known."""
    last = one["last_run"]
    for stream, facts in sorted(last["streams"].items()) if last else ():
        copying = facts["phase"] == "snapshot" and facts["snapshot_rows"] is not None
        rows = copied(facts["snapshot_rows"], facts["snapshot_estimate"]) if copying else None
        yield (
            one["pipeline"],
            stream,
            facts["phase"],
            rows or amount(facts["rows_read"]),
            amount(facts["rows_written"]),
            rate(facts["rows_read_per_second"]),
            rate(facts["rows_written_per_second"]),
            last["at"],
        )


def _before(one: Mapping[str, Any]) -> str:
    """Say what the lag was when a run measured it last."""
    last = one["last_run"]
    was = behind(last["lag"]) if last else ""
    return f"\n  it was {was} at {last['lag_at']}" if last and was else ""


def moment(at: float) -> str:
    """Write Unix seconds as UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
