"""The thread that talks back to the server: what is durable, and that we are alive."""

from __future__ import annotations

import threading

from etl_core import Cancelled, EtlError
from etl_postgres_cdc.client import Replication

__all__ = ["Feedback"]


class Feedback:
    """Sends standby status updates on its own thread, so that a slow destination costs no connection.

    Its methods never block. `durable` only advances; nothing beyond it is ever confirmed.
    """

    def __init__(self, replication: Replication, durable: int, interval: float) -> None:
        self._replication = replication
        self._interval = interval
        self._changed = threading.Condition()
        self._received = durable
        self._durable = durable
        self._due = True
        self._ask = False
        self._stopped = False

    def ack(self, lsn: int) -> None:
        """Everything up to `lsn` is durable."""
        with self._changed:
            if lsn > self._durable:
                self._durable = lsn
                self._wake()

    def received(self, lsn: int, answer: bool) -> None:
        """Everything up to `lsn` has arrived; `answer` at once."""
        with self._changed:
            self._received = max(self._received, lsn)
            if answer:
                self._wake()

    def ask(self) -> None:
        """Ask the server how far it has read."""
        with self._changed:
            self._ask = True
            self._wake()

    def stop(self) -> None:
        """End the thread after what is due."""
        with self._changed:
            self._stopped = True
            self._wake()

    def run(self) -> None:
        """Send what is due until stopped or until the connection ends, which the reader sees too."""
        while not self._stopped:
            with self._changed:
                self._changed.wait_for(lambda: self._due, self._interval)
            try:
                self.confirm()
            except (EtlError, Cancelled):
                return

    def use(self, replication: Replication) -> None:
        """Talk over another connection, once `run` has ended."""
        self._replication = replication

    def confirm(self, ask: bool = False) -> int:
        """Send the state of things now; return what is durable. Raises RetryableError when that fails."""
        with self._changed:
            durable, received, ask = self._durable, max(self._received, self._durable), self._ask or ask
            self._due = self._ask = False
        self._replication.status(received, durable, ask)
        return durable

    def _wake(self) -> None:
        self._due = True
        self._changed.notify()
