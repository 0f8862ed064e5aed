"""Clauses about what a source may offer besides reading: its lag, and reading a stream anew."""

from __future__ import annotations

import attrs

from etl_core.interfaces import Source
from etl_core.model import Batch, Kind, Lag, Stream
from etl_core.testing.source.base import History, SourceKit
from etl_core.testing.source.changes import same_tables, told
from etl_core.testing.verdicts import expect, skip

__all__ = ["OfferClauses"]


class OfferClauses(SourceKit):
    """What a source offers beyond what it must is right, too."""

    def test_lag_is_a_measure(self) -> None:
        """`lag` says how far the system is ahead: of no position too, in numbers that are never below 0.

        Return None where nothing can be said; take the figures from the system, each time it is asked.
        """
        with self.source() as source:
            if type(source).lag is Source.lag:
                skip("it has no lag")
        history = self.history(changes=0)
        with self.source() as source, self.context() as ctx:
            for value in (None, *(place.value for place in history.some(2))):
                lag = source.lag(ctx, value)
                expect(lag is None or isinstance(lag, Lag), "lag returns no Lag", found=type(lag).__name__)
                for name, number in attrs.asdict(lag).items() if lag else ():
                    fits = number is None or isinstance(number, str) or number >= 0
                    expect(fits, "a lag is below 0", field=name, found=number)

    def test_a_stream_can_be_read_anew(self) -> None:
        """From a position of `resync` a new snapshot of the streams asked for comes, and nothing of others.

        Change in the value only what says that a stream was copied; `read` does the rest.
        """
        with self.source() as source:
            if type(source).resync is Source.resync:
                skip("it cannot take a snapshot again")
        history = self.history(changes=0)
        if not history.places:
            skip("it emits no position")
        stream = next(batch.stream for batch in history.batches if batch.stream is not None)
        with self.source() as source:
            value = source.resync(history.places[-1].value, [stream])
            anew = self.read(source, value, history.until).batches
        _anew(history, stream, anew)


def _anew(history: History, stream: Stream, anew: list[Batch]) -> None:
    begun = [batch.stream for batch in anew if batch.kind is Kind.SNAPSHOT_BEGIN]
    expect(begun == [stream], "not one new snapshot of the stream asked for", snapshots=len(begun))
    others = {batch.stream for batch in anew if batch.stream is not None} - {stream}
    expect(not others, "streams come that were not asked for", streams=len(others))
    where = {"stream": stream, "after": "resync"}
    same_tables(told(history.batches)[stream], told(anew)[stream], history.streams[stream].key, where)
