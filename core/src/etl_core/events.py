"""What observers hear: one small value per thing that happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, frozen

__all__ = ["EVENTS", "Event"]

#: Every event's name and what its facts are.
EVENTS: Mapping[str, str] = {
    "run_started": "once (bool)",
    "batch_read": "stream, rows, bytes",
    "batch_written": "stream, rows, bytes, mode",
    "snapshot_started": "stream",
    "snapshot_finished": "stream",
    "schema_changed": "stream, changes",
    "column_discarded": "stream, column",
    "truncated": "stream",
    "rows_rejected": "stream, rows, code, stage",
    "committed": "epoch, n",
    "retrying": "error, message, attempt, wait_seconds",
    "epoch_raised": "epoch, reason",
    "metric": "metric (a source's lag: lag.bytes, lag.seconds), value, kind (count or gauge), labels",
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
