"""Marks that are outstanding: groups of streamed rows that the service has accepted and not yet committed.

A group is durable when every channel's committed token has reached the group's. Rows are kept until then: a
channel whose error count has grown refused some of them without saying which, and these are found by reading
which seqs are in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import pyarrow as pa

from etl_core import Position, Rejected, Stream
from etl_snowflake.streaming import Channel

__all__ = ["Find", "Outstanding"]

#: Say which of the seqs (hex) in a range, ends included, are in the table that a stream's channel writes into.
#: Called on the thread that calls `poll` or `settle`.
Find = Callable[[Stream, str, str], Collection[str]]


class Outstanding:
    """The groups that are not durable, in order. `poll` may run on a thread of its own."""

    def __init__(self, find: Find) -> None:
        raise NotImplementedError

    @property
    def bytes(self) -> int:
        """Arrow bytes of the rows that are kept."""
        raise NotImplementedError

    def sent(
        self, stream: Stream, channel: Channel, rows: pa.Table, seqs: pa.Array | pa.ChunkedArray
    ) -> None:
        """Rows were appended to a channel: as the loader handed them over, with their hex seqs."""
        raise NotImplementedError

    def replayed(
        self, stream: Stream, channel: Channel, rows: pa.Table, seqs: pa.Array | pa.ChunkedArray
    ) -> None:
        """Rows at or below the channel's token came again: looked for if the channel ever refused rows."""
        raise NotImplementedError

    def mark(self, position: Position) -> None:
        """End a group; never blocks."""
        raise NotImplementedError

    def poll(self) -> None:
        """Ask the service once about each channel that is waited for, and look for refused rows.

        Does not raise: what went wrong is raised by the next `durable` or `settle`.
        """
        raise NotImplementedError

    def durable(self) -> tuple[Position, Sequence[Rejected]] | None:
        """Return the last mark that became durable since the last call, with rows refused; never blocks."""
        raise NotImplementedError

    def settle(self, wait: Callable[[float], bool], timeout: float) -> Sequence[Rejected]:
        """Wait until everything sent is committed, marked or not; return the rows refused since `durable`.

        `wait(seconds)` sleeps and says whether to give up. RetryableError after `timeout` seconds without progress.
        """
        raise NotImplementedError

    def clear(self) -> None:
        """Forget everything: it may come again."""
        raise NotImplementedError
