"""What observers hear: one small value per thing that happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, frozen

__all__ = ["EVENTS", "Event"]

#: Every event's name and what its facts are.
EVENTS: Mapping[str, str] = {
    "run_started": "once (bool)",
    "batch_read": "stream, rows, bytes, snapshot_rows (of its snapshot so far; null outside of one)",
    "batch_written": "stream, rows, bytes, mode",
    "snapshot_started": "stream, estimate (about how many rows it has; null: not known)",
    "snapshot_finished": "stream",
    "schema_changed": "stream, changes",
    "column_discarded": "stream, column",
    "truncated": "stream",
    "rows_rejected": "stream, rows, code, stage",
    "committed": "epoch, n",
    "retrying": "error, message, attempt, wait_seconds",
    "epoch_raised": "epoch, reason",
    "throughput": "every 2 s: seconds (that rates are taken over, up to 10; a snapshot's since it began), "
    "streams (by name, those that moved or have just come to stand: rows_read, rows_written, both since the "
    "start of the run; rows_read_per_second, rows_written_per_second; phase (snapshot or changes), "
    "snapshot_rows, snapshot_estimate)",
    "lag": "every 2 s, of the last durable position: bytes (of the source's log after it), seconds (since it "
    "covered all that was committed), retained_bytes (of its log that the source keeps for this pipeline), "
    "remaining_bytes (that it would keep more), status (its own word for that); null where the source cannot "
    "say; error (its class, when it could not be asked)",
    "metric": "metric, value, kind (count or gauge), labels",
    "observer_overrun": "observer, left_out",
    "run_finished": "status (ok, failed or cancelled), error, rows_read, rows_written, seconds",
}


@frozen
class Event:
    """Something that happened in a pipeline: `name` of EVENTS, `at` in Unix seconds, JSON-able facts."""

    name: str
    pipeline: str
    at: float
    facts: Mapping[str, Any] = Factory(dict)

    def to_json(self) -> dict[str, Any]:
        return {"event": self.name, "pipeline": self.pipeline, "at": self.at, **self.facts}
