"""Rows that were refused late: kept in the account until they were told, and the position with them saved.

They are found when their source has gone on: at a merge, or when a streaming channel says that it refused
some. So they are kept in the transaction in which they are found, told with the next position that is
durable, and told again by a life after a crash: a dead letter of the same row is the same one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import attrs

from etl_core import Rejected, Stream
from etl_snowflake import control, rejected
from etl_snowflake.account import Account
from etl_snowflake.lanes import Lanes

__all__ = ["Reports"]


class Reports:
    """What is kept and not known to be told and saved. `load` and `forget` ask the account."""

    def __init__(self, account: Account, lanes: Lanes) -> None:
        self._account = account
        self._lanes = lanes
        self._lock = threading.Lock()
        self._told: list[str] = []
        self._saved: list[str] = []
        self.abort()

    def abort(self) -> None:
        """Begin anew. What was told last may be saved: who goes on says so."""
        with self._lock:
            self._known: set[str] = {*self._told, *self._saved}
            self._waiting: dict[str, Rejected] = {}
        self.more()

    def more(self) -> None:
        """There may be more in the account than is known."""
        self._all_known = False

    def found(self, rows: Sequence[Rejected], errors: Mapping[Stream, int]) -> None:
        """Keep rows that channels had refused, and how many refused rows are answered for by that."""
        account = self._account
        who = account.session, account.names, account.pipeline
        errors = {stream: count for stream, count in errors.items() if count > self._errors(stream)}
        if not rows and not errors:
            return
        with account.lock:
            with control.transaction(*account.identity):
                rejected.keep(*who, rows)
                for stream, count in errors.items():
                    control.answered(*who, stream, count)
            for stream, count in errors.items():
                if (lane := self._lanes.find(stream)) is not None:
                    lane.kept = attrs.evolve(lane.kept, errors=count)
        self.more()

    def _errors(self, stream: Stream) -> int:
        lane = self._lanes.find(stream)
        return lane.kept.errors if lane is not None else 0

    def load(self) -> None:
        """Look up what is kept, where there may be more than is known."""
        if self._all_known:
            return
        self._all_known = True
        account = self._account
        with account.lock:
            found = list(rejected.kept(account.session, account.names, account.pipeline))
        with self._lock:
            new = {number: each for number, each in found if number not in self._known}
            self._known |= new.keys()
            self._waiting |= new

    def supersede(self, stream: Stream) -> None:
        """A mirror begins anew: what was refused of it before is of no account."""
        with self._lock:
            self._waiting = {number: each for number, each in self._waiting.items() if each.stream != stream}

    def tell(self) -> Sequence[Rejected]:
        """Return what was not told."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._told += waiting
            return list(waiting.values())

    def go_on(self) -> None:
        """What was told is saved, or nobody would go on."""
        with self._lock:
            self._saved += self._told
            self._told = []

    def forget(self) -> None:
        """Remove what is told and saved."""
        with self._lock:
            saved, self._saved = self._saved, []
        if not saved:
            return
        account = self._account
        with account.lock:
            rejected.forget(account.session, account.names, account.pipeline, saved)
        with self._lock:
            self._known.difference_update(saved)
