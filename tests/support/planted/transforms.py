"""Transforms that break one promise each, beside right ones."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from support.planted.transform_settings import TidyConfig

from etl_core.interfaces import Context, Transform
from etl_core.model import Stream, Transformed

LENGTH = pa.field("note_length", pa.int32())


def orders(count: int = 40) -> pa.RecordBatch:
    """Rows with nulls, small and large amounts."""
    schema = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("region", pa.string()),
            pa.field("amount", pa.float64()),
            pa.field("note", pa.string()),
        ]
    )
    numbers = range(count)
    return pa.record_batch(
        [
            pa.array([n + 1 for n in numbers]),
            pa.array([None if n % 7 == 3 else f"region {n % 4}" for n in numbers]),
            pa.array([None if n % 9 == 5 else float(n * 37 % 23 - 6) for n in numbers]),
            pa.array([None if n % 5 == 2 else "x" * (n % 6) for n in numbers]),
        ],
        schema=schema,
    )


def unknown_regions() -> pa.RecordBatch:
    """Rows that `Tidy` rejects."""
    rows = orders(3)
    return rows.set_column(1, rows.schema.field(1), pa.array(["?", "?", "?"]))


class Tidy(Transform):
    """Right: leaves out small orders, rejects unknown regions, tells the length of notes."""

    def __init__(self, config: TidyConfig | None = None) -> None:
        self._least = (config or TidyConfig()).least

    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        return schema.append(LENGTH)

    def inputs(self, stream: Stream) -> Mapping[str | None, Sequence[str]] | None:
        return {None: ["amount"], "note_length": ["note"], "region": ["region"]}

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        bad = pc.fill_null(pc.equal(rows.column("region"), "?"), fill_value=False)
        if bad.true_count:
            ctx.reject(pc.indices_nonzero(bad).to_pylist(), "unknown_region", "region")
        large = pc.fill_null(pc.greater_equal(rows.column("amount"), self._least), fill_value=True)
        origin = pc.indices_nonzero(pc.and_not(large, bad))
        kept = rows.take(origin)
        place = kept.schema.get_field_index("region")
        kept = kept.set_column(place, kept.schema.field(place), pc.utf8_upper(kept.column("region")))
        return Transformed(kept.append_column(LENGTH, pc.utf8_length(kept.column("note"))), origin)


class MovesKeys(Transform):
    """Right: maps keys."""

    maps_keys = True

    def __init__(self, config: None = None) -> None: ...

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        return rows.set_column(0, rows.schema.field(0), pc.add(rows.column("id"), 1000))


class Doubles(Transform):
    """Right for histories: two rows of each."""

    def __init__(self, config: None = None) -> None: ...

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        origin = pa.array([row for row in range(rows.num_rows) for _ in "12"], pa.int64())
        return Transformed(rows.take(origin), origin)


class Shares(Transform):
    """Right, of whole batches: each amount's share in its batch, and a column that varies by nature."""

    def __init__(self, config: None = None) -> None: ...

    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        return schema.append(pa.field("share", pa.float64())).append(pa.field("token", pa.string()))

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        amounts = rows.column("amount")
        token = pa.array([os.urandom(4).hex() for _ in range(rows.num_rows)], pa.string())
        share = pc.divide(amounts, pc.sum(amounts)).cast(pa.float64())
        return rows.append_column("share", share).append_column("token", token)


class Plain(Transform):
    """What the wrong ones begin with: passes everything through."""

    def __init__(self, config: None = None) -> None: ...

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        return rows


class WritesIntoItsInput(Plain):
    """Makes amounts positive where they are."""

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        buffer = rows.column("amount").buffers()[1]
        memory = (ctypes.c_double * (buffer.size // 8)).from_address(buffer.address)
        memory[:] = [abs(value) for value in memory]
        return rows


class PromisesAnotherType(Plain):
    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        place = schema.get_field_index("amount")
        return schema.set(place, pa.field("amount", pa.decimal128(12, 2)))


class KnowsItsSchemaWhenOpen(Plain):
    def __init__(self, config: None = None) -> None:
        self._nullable = True

    def open(self, ctx: Context) -> None:
        self._nullable = False

    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        return schema.set(0, schema.field(0).with_nullable(self._nullable))


class LosesRows(Plain):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        return rows.filter(pc.fill_null(pc.greater(rows.column("amount"), 0), fill_value=True))


class TellsAnotherOrigin(Plain):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        return Transformed(rows, [row + 1 for row in range(rows.num_rows)])


class TurnsRowsRound(Plain):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        return rows.take(pa.array(range(rows.num_rows - 1, -1, -1), pa.int64()))


class Numbers(Plain):
    """Numbers rows from the first it was ever given."""

    def __init__(self, config: None = None) -> None:
        self._seen = 0

    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        return schema.append(pa.field("number", pa.int64()))

    def inputs(self, stream: Stream) -> Mapping[str | None, Sequence[str]] | None:
        return None

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        numbers = pa.array(range(self._seen, self._seen + rows.num_rows), pa.int64())
        self._seen += rows.num_rows
        return rows.append_column("number", numbers)


class NumbersWithin(Numbers):
    """Numbers the rows of each batch."""

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        self._seen = 0
        return super().apply(ctx, stream, rows)


class OfItsProcess(Numbers):
    """Adds what differs between processes."""

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        return rows.append_column("number", pa.array([os.getpid()] * rows.num_rows, pa.int64()))


class ReadsMoreThanItSays(Tidy):
    """Lengths depend on amounts, which is not declared."""

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        given: Any = super().apply(ctx, stream, rows)
        extra = pc.fill_null(pc.greater(given.rows.column("amount"), 5), fill_value=False).cast(pa.int32())
        place = given.rows.schema.get_field_index("note_length")
        length = pc.add(given.rows.column(place), extra)
        return Transformed(given.rows.set_column(place, LENGTH, length), given.origin)


class DecidesByMoreThanItSays(Tidy):
    def inputs(self, stream: Stream) -> Mapping[str | None, Sequence[str]] | None:
        return {"note_length": ["note"], "region": ["region"]}


class ChangesMoreThanItSays(Tidy):
    def inputs(self, stream: Stream) -> Mapping[str | None, Sequence[str]] | None:
        return {None: ["amount"], "note_length": ["note"]}


class NamesNoSuchColumn(Tidy):
    def inputs(self, stream: Stream) -> Mapping[str | None, Sequence[str]] | None:
        return {None: ["amount"], "note_length": ["note", "notes"], "region": ["region"]}


class ChangesKeys(Plain):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        return rows.set_column(0, rows.schema.field(0), pc.add(rows.column("id"), 1000))


class MapsKeysByTheirRows(MovesKeys):
    """Maps a key otherwise where the rest of the row is not there."""

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        known = rows.column("region").is_valid().cast(pa.int64())
        return rows.set_column(0, rows.schema.field(0), pc.add(rows.column("id"), known))


class FirstOfEachKey(Plain):
    """Takes a key that comes again for a repetition; in a stream of changes it is the newer one."""

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        first: dict[int, int] = {}
        for number, key in enumerate(rows.column("id").to_pylist()):
            first.setdefault(key, number)
        origin = pa.array(first.values(), pa.int64())
        return Transformed(rows.take(origin), origin)


class LeavesAThread(Plain):
    def open(self, ctx: Context) -> None:
        threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()


class NeedsReservedColumns(Plain):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        rows.column("_etl_op")
        return rows


class RaisesForABadRow(Tidy):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        if "?" in rows.column("region").to_pylist():
            raise ValueError("unknown region")
        return super().apply(ctx, stream, rows)


class RejectsWithoutACode(Tidy):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        given = super().apply(ctx, stream, rows)
        told: Any = ctx
        told.rejections[:] = [(rows, "", column) for rows, _, column in told.rejections]
        return given


class FailsOnNulls(Plain):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        if rows.num_rows and rows.column("note").null_count == rows.num_rows:
            raise TypeError("a note was expected")
        return rows


class FailsOnNothing(Plain):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        rows.column("id")[0]
        return rows


class ClosesForGood(Plain):
    def __init__(self, config: None = None) -> None:
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        if self._closed:
            raise RuntimeError("closed")
        return rows


class KeepsTheFirstStream(Plain):
    """Looks at the first stream's name only."""

    def __init__(self, config: None = None) -> None:
        self._stream: Stream | None = None

    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        return schema.append(pa.field("stream", pa.string()))

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        self._stream = self._stream or stream
        return rows.append_column("stream", pa.array([str(self._stream)] * rows.num_rows, pa.string()))


class CountsOnItsColumns(Plain):
    """Fails when the source adds a column."""

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        one, two, three, four = rows.columns
        return pa.RecordBatch.from_arrays([one, two, three, four], schema=rows.schema)
