"""Clauses about what a source says: its streams, its rows, its sequences, its positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from etl_core.interfaces import Source
from etl_core.model import RESERVED, Batch, Stream, StreamInfo
from etl_core.testing.source.base import SourceKit
from etl_core.testing.source.changes import same
from etl_core.testing.source.fitting import Fit, Sequences
from etl_core.testing.source.reading import stored
from etl_core.testing.verdicts import expect, skip

__all__ = ["ShapeClauses"]

#: Epochs of further reads by one object, as after resets; the first is 1.
_EPOCHS = (2, 1_790_000_000)


class ShapeClauses(SourceKit):
    """What a source says can be believed."""

    def test_streams_are_described(self) -> None:
        """Every stream is listed once, with its columns, and with a key made of some of these.

        `StreamInfo.key` names columns of `StreamInfo.schema`; names that begin with `_etl_` are reserved.
        """
        with self.source() as source, self.context() as ctx:
            infos = list(source.streams(ctx))
            again = list(source.streams(ctx))
        expect(infos, "it lists no stream")
        names = [info.stream for info in infos]
        expect(len(set(names)) == len(names), "a stream is listed twice", streams=len(names))
        expect([info.stream for info in again] == names, "the streams are others when asked again")
        for info in infos:
            _described(info)

    def test_looking_changes_nothing(self) -> None:
        """`check`, `streams`, `latest` and `sample` change nothing: what is read after them is the same.

        Do not move a cursor, an offset or a file in them, and create in `read` what reading needs.
        """
        history = self.history(changes=0)
        with self.source() as source, self.context() as ctx:
            source.teardown(ctx)
            before = list(source.teardown(ctx))  # what is not its own to remove is there before and after
        self._look()
        with self.source() as source, self.context() as ctx:
            made = [text for text in source.teardown(ctx) if text not in before]
        expect(not made, "looking at it made something in the system", found=len(made))
        with self.source() as source:
            again = self.read(source, None, history.until)
        same(history.batches, [], again.batches, history.streams, after="check, streams and sample")

    def _look(self) -> None:
        for _ in range(2):
            with self.source() as source, self.context() as ctx:
                source.check(ctx)
                source.latest(ctx)
                for info in source.streams(ctx):
                    if type(source).sample is not Source.sample:
                        source.sample(ctx, info.stream, 2)

    def test_a_sample_is_small(self) -> None:
        """`sample` returns at most as many rows as asked for, with the columns of the stream.

        Put the limit into the query; return an empty table of the stream's schema where there are no rows.
        """
        with self.source() as source, self.context() as ctx:
            if type(source).sample is Source.sample:
                skip("it cannot be sampled")
            for info in source.streams(ctx):
                for count in (1, 0, 1_000):
                    rows = source.sample(ctx, info.stream, count)
                    where = {"stream": info.stream, "asked": count, "found": rows.num_rows}
                    expect(rows.num_rows <= count, "a sample has more rows than asked for", **where)
                    expect(
                        _columns(rows.schema) == _columns(info.schema), "a sample has other columns", **where
                    )

    def test_rows_fit_their_stream(self) -> None:
        """Every batch has the columns announced for its stream, and reserved columns of the model's types.

        Announce columns through `streams`, SNAPSHOT_BEGIN or SCHEMA; take the types of reserved columns
        from `reserved_schema`. Operations are r, i, u and d; every row, also a deleted one, has its key.
        """
        history = self.history()
        fit = Fit(history.streams)
        for number, batch in enumerate(history.batches):
            fit.take(number, batch)
        fit.end()

    def test_sequences_rise(self) -> None:
        """`_etl_seq` rises with every change, marker and `ctx.epoch`; a stream has it everywhere or nowhere.

        Make it with `pack_seq(ctx.epoch, ...)`, of the context of that read, and of what orders changes in
        the system. Claim `stable_seq` only where reading a change again gives the same; without an order that
        lasts, leave the column out.
        """
        history = self.history()
        _rising(history.streams, history.batches, epoch=1)
        with self.source() as source:
            for epoch in _EPOCHS:
                again = self.read(source, None, self.latest(source), epoch=epoch)
                _rising(history.streams, again.batches, epoch)

    def test_positions_are_json(self) -> None:
        """A position is a JSON value that is the same after it was stored as text.

        Use dicts with text keys, lists, texts, whole numbers; write times and bytes as text.
        """
        for place in self.history().places:
            kept = _equal(stored(place.value), place.value)
            expect(kept, "a position is another after it was stored", after_batch=place.batches)


def _rising(streams: Mapping[Stream, StreamInfo], batches: Sequence[Batch], epoch: int) -> None:
    sequences = Sequences(streams, epoch)
    for number, batch in enumerate(batches):
        sequences.take(number, batch)
    sequences.end()


def _equal(stored: object, value: object) -> bool:
    return type(stored) is type(value) and stored == value


def _described(info: StreamInfo) -> None:
    expect(isinstance(info.schema, pa.Schema), "a stream has no schema", stream=info.stream)
    names = info.schema.names
    taken = [name for name in names if name in RESERVED or name.startswith("_etl_")]
    expect(not taken, "a column of the schema has a reserved name", stream=info.stream, columns=taken)
    expect(len(set(names)) == len(names), "two columns have one name", stream=info.stream)
    unknown = [name for name in info.key if name not in names]
    expect(not unknown, "the key names columns that are not there", stream=info.stream, columns=unknown)


def _columns(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in schema]
