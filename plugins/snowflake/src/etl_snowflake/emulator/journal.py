"""What was asked of the emulator: statements as they were sent, and counts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlglot
from sqlglot.errors import SqlglotError

_KEPT = 50_000


@dataclass
class Statement:
    """One statement, whoever sent it: a client's session, or a task."""

    text: str
    session: int
    query_id: str
    role: str
    by: str = "client"
    at: float = field(default_factory=time.time)
    seconds: float | None = None
    error: str | None = None
    rows: int | None = None


class Journal:
    """Statements in the order of their arrival, and counters of everything else."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._statements: list[Statement] = []
        self._lock = threading.Lock()

    def add(self, statement: Statement) -> Statement:
        """Write a statement down; the oldest is forgotten after 50,000."""
        with self._lock:
            self._statements.append(statement)
            del self._statements[:-_KEPT]
        return statement

    def count(self, **amounts: int) -> None:
        """Add to counters."""
        with self._lock:
            self.counts.update(amounts)

    def statements(self, start: int = 0) -> list[dict[str, Any]]:
        """Show the statements from a position on."""
        with self._lock:
            return [asdict(each) for each in self._statements[start:]]

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._statements.clear()
            self.counts.clear()


def understood(text: str) -> bool:
    """Whether sqlglot's Snowflake dialect reads a statement as more than an opaque command."""
    try:
        tree = sqlglot.parse_one(text, read="snowflake")
    except SqlglotError:
        return False
    return not isinstance(tree, sqlglot.exp.Command)
