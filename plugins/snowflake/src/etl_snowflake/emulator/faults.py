"""Faults to order: answers that are refused, delayed, or lost on the way; and switches of the service."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class Fault:
    """What happens to the next requests of one route.

    `route`: login, token-request, sql, result, logout, heartbeat, put, head, hostname, token, pipe-info,
    open, drop, status, rows, filebuffer, blob, telemetry. `match`: a regular expression that the path (of
    `sql`: the statement) has to hold. `times`: how often; `after`: how many matching requests are left alone
    before.

    One of: `status` (with `body`, `headers`) is answered in its place; `error` (`sql` only: code, state,
    message) fails the statement; `cut` = "before" or "after" closes the connection without an answer, the
    work not done or done; `delay` waits that many seconds first, and the request is served then.
    """

    route: str
    times: int = 1
    after: int = 0
    match: str = ""
    status: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    error: dict[str, str] = field(default_factory=dict)
    cut: str = ""
    delay: float = 0.0

    def takes(self, route: str, text: str) -> bool:
        """Whether it is about this request; counts down."""
        if self.route != route or self.times <= 0 or not re.search(self.match, text):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Reject:
    """Streamed rows that the service drops without a word: only the channel's error count tells."""

    table: str
    column: str
    matching: str


@dataclass
class Switches:
    """How the service behaves until told otherwise.

    `commit_delay`: seconds from accepting streamed rows to committing them.
    `commits`: whether any are committed at all.
    `on_reopen`: what happens to rows that are not committed when their channel is opened again: "discard",
    "refuse" the open with 409, or "commit" them first.
    `task_minute`: how many seconds a minute of a task's schedule takes.
    `flush_kb`: from which size on clients upload files.
    `transaction_idle`: after how many seconds without a statement a transaction that others wait for is
    rolled back.
    `answer_within`: a statement that takes longer is answered later (seconds; there 45).
    `binary`: how streamed bytes are written, "BASE64" or "HEX".
    `reject`: streamed rows to drop.
    """

    commit_delay: float = 0.3
    commits: bool = True
    on_reopen: str = "discard"
    task_minute: float = 60.0
    flush_kb: int = 1024
    transaction_idle: float = 10.0
    answer_within: float = 45.0
    binary: str = "BASE64"
    reject: list[Reject] = field(default_factory=list)


class Faults:
    """The faults that wait for their requests."""

    def __init__(self, switches: Switches) -> None:
        self.switches = switches
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether any waits."""
        return bool(self._waiting)

    def add(self, value: Mapping[str, Any]) -> None:
        """Add a fault; raises TypeError where a word is not known."""
        with self._lock:
            self._waiting.append(Fault(**value))

    def clear(self) -> None:
        """Forget the faults; switches stay."""
        with self._lock:
            self._waiting.clear()

    def take(self, route: str, text: str) -> Fault | None:
        """Give the fault that is meant for a request, if there is one."""
        with self._lock:
            fault = next((fault for fault in self._waiting if fault.takes(route, text)), None)
            self._waiting = [each for each in self._waiting if each.times > 0]
            return fault

    def waiting(self) -> list[dict[str, Any]]:
        """Show what is left."""
        with self._lock:
            return [asdict(fault) for fault in self._waiting]

    def switch(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change some switches and show them all; raises KeyError for one that is not known."""
        known = {each.name for each in fields(Switches)}
        for name, value in values.items():
            if name not in known:
                raise KeyError(name)
            setattr(self.switches, name, [Reject(**each) for each in value] if name == "reject" else value)
        return asdict(self.switches)
