"""One channel: what it accepted, what of it is committed, and what the service says of it."""

from __future__ import annotations

import pickle
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.loading import Loaded

Key = tuple[str, str, str, str]


@dataclass
class Batch:
    """Rows that were accepted, as NDJSON, and the token that stands for their end."""

    body: bytes
    token: str | None
    due: float


@dataclass
class Channel:
    """One named channel of one pipe."""

    key: Key
    name: str
    table: Table
    created: int = field(default_factory=lambda: int(time.time() * 1000))
    sequencer: int = 0
    turn: int = 0
    committed: str | None = None
    parsed: int = 0
    inserted: int = 0
    errors: int = 0
    error: str | None = None
    error_at: int | None = None
    error_bound: str | None = None
    flying: bool = False
    pending: deque[Batch] = field(default_factory=deque)

    @property
    def saved_as(self) -> str:
        """Give the name under which the store remembers it."""
        return "channel " + repr(self.key)

    def saved(self) -> bytes:
        """Write down what outlives a restart."""
        kept = {
            **self.__dict__,
            "pending": deque(),
            "flying": False,
            "table": (self.table.path, self.table.identity),
        }
        return pickle.dumps(kept)

    def count(self, batch: Batch, load: Loaded) -> None:
        """Add what became of a batch."""
        self.parsed += load.parsed
        self.inserted += load.loaded
        if load.errors:
            self.errors += load.errors
            self.error, self.error_bound = load.message, batch.token
            self.error_at = int(time.time() * 1000)
        self.committed = batch.token if batch.token is not None else self.committed

    @property
    def continuation(self) -> str:
        """Give the token that the next append has to show."""
        return f"{self.sequencer}_{self.turn}"

    def status(self) -> dict[str, Any]:
        """Describe it as the service does."""
        return {
            "database_name": self.key[0],
            "schema_name": self.key[1],
            "pipe_name": self.key[2],
            "channel_name": self.name,
            "channel_status_code": "SUCCESS",
            "last_committed_offset_token": self.committed,
            "created_on_ms": self.created,
            "rows_inserted": self.inserted,
            "rows_parsed": self.parsed,
            "rows_error_count": self.errors,
            "last_error_offset_upper_bound": self.error_bound,
            "last_error_message": self.error,
            "last_error_timestamp_ms": self.error_at,
            "snowflake_avg_processing_latency_ms": 5,
        }
