"""Rows that were sent through channels, and wait for their commit."""

from __future__ import annotations

from collections import deque

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define, field, frozen

from etl_core import Position, Stream
from etl_snowflake.streaming import Channel, ChannelState

__all__ = ["Group", "Sent", "Waiting"]


@frozen(eq=False)
class Sent:
    """Rows that wait for their commit, in the order of their seqs."""

    stream: Stream
    rows: pa.Table
    seqs: pa.Array
    doubtful: bool
    """They are looked for in any case."""

    @property
    def last(self) -> str:
        return str(self.seqs[-1])

    def split(self, token: str) -> tuple[Sent | None, Sent | None]:
        """Split into what lies at or below a token and what lies above it."""
        count = int(pc.sum(pc.less_equal(self.seqs, token)).as_py())
        return self._part(0, count), self._part(count, len(self.seqs) - count)

    def _part(self, start: int, count: int) -> Sent | None:
        if not count:
            return None
        return Sent(self.stream, self.rows.slice(start, count), self.seqs.slice(start, count), self.doubtful)


@define(eq=False)
class Waiting:
    """A stream's channel with what was sent through it, and what was last known of it."""

    stream: Stream
    channel: Channel
    known: ChannelState
    sent: deque[Sent] = field(factory=deque)
    #: So many of the rows that the channel refused are found; and so many of those were told.
    found: int = field(init=False)
    told: int = 0
    #: Up to which token everything was looked for, where that was needed.
    looked: str = ""

    def __attrs_post_init__(self) -> None:
        self.found = self.known.errors

    @property
    def complete(self) -> bool:
        """Whether all that was sent before this life, and not saved, has come again and was looked for."""
        return self.looked >= (self.channel.opened.committed or "")

    def reached(self, token: str) -> bool:
        """Whether all up to a token is committed, and was looked for where that was needed."""
        committed = self.known.committed is not None and self.known.committed >= token
        return committed and not (self.sent and str(self.sent[0].seqs[0]) <= token)

    def covered(self, token: str) -> list[Sent]:
        """Return what lies at or below a token; it stays until it is taken out."""
        parts = (part.split(token)[0] for part in self.sent if str(part.seqs[0]) <= token)
        return [part for part in parts if part is not None]

    def take_out(self, token: str) -> None:
        """Forget what lies at or below a token."""
        while self.sent and str(self.sent[0].seqs[0]) <= token:
            _, above = self.sent.popleft().split(token)
            if above is not None:
                self.sent.appendleft(above)


@frozen(eq=False)
class Group:
    """A mark, and which token each channel has to reach for it."""

    position: Position
    needs: dict[Waiting, str]

    @property
    def done(self) -> bool:
        return all(waiting.reached(token) for waiting, token in self.needs.items())
