"""Loaders that break one promise each, made of right ones."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from time import time_ns
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve

from etl_core.loaders.append import Append
from etl_core.loaders.replace import Replace
from etl_core.loaders.snapshots import highest_seq
from etl_core.loaders.upsert import Upsert
from etl_core.model import COMMIT_TS, OLD_KEY, OP, SEQ, Batch, Kind, Mode, Stream, TableSchema, Write
from etl_core.schema import key_of, with_key


def _with(rows: pa.Table, name: str, column: Any) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(place), column)


def _raised(seq: bytes) -> bytes:
    return (int.from_bytes(seq, "big") + 1).to_bytes(20, "big")


class LatestOnly(Append):
    """Right, with a table of its own kind: what is deleted is not told."""

    def plan(self, batch: Batch) -> Iterator[Write]:
        for write in super().plan(batch):
            kept = None if write.rows is None else write.rows.filter(pc.not_equal(write.rows.column(OP), "d"))
            if kept is None or kept.num_rows:
                yield evolve(write, rows=kept, seq=write.seq if kept is None else highest_seq(kept))


def _turned(writes: Iterable[Write]) -> Iterator[Write]:
    for write in writes:
        rows = write.rows
        turned = None if rows is None else rows.take(pa.array(range(rows.num_rows - 1, -1, -1), pa.int64()))
        yield evolve(write, rows=turned)


class TurnsRowsRound(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        return _turned(super().plan(batch))


class TurnsSnapshotsRound(Replace):
    def plan(self, batch: Batch) -> Iterator[Write]:
        return _turned(super().plan(batch))


class KeepsRowsBack(Append):
    """Writes the last row of a batch with the next one of its stream."""

    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self._kept: dict[Stream, pa.Table] = {}

    def plan(self, batch: Batch) -> Iterator[Write]:
        assert batch.stream is not None
        for write in super().plan(batch):
            if write.rows is None:
                yield write
                continue
            kept = self._kept.pop(batch.stream, write.rows.slice(0, 0))
            rows = pa.concat_tables([kept, write.rows]) if kept.schema == write.rows.schema else write.rows
            last = max(rows.num_rows - 1, 0)
            self._kept[batch.stream] = rows.slice(last)
            yield evolve(write, rows=rows.slice(0, last), seq=highest_seq(rows.slice(0, last)))


class SplitsASequence(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        for write in super().plan(batch):
            for start in range(0, write.rows.num_rows if write.rows is not None else 0, 3):
                assert write.rows is not None
                rows = write.rows.slice(start, 3)
                yield evolve(write, rows=rows, seq=highest_seq(rows))
            if write.rows is None:
                yield write


class FoldsNothing(Upsert):
    def plan(self, batch: Batch) -> Iterator[Write]:
        writes = [*super().plan(batch)]
        if isinstance(batch.rows, pa.Table) and writes:
            writes = [evolve(writes[0], rows=batch.rows, seq=highest_seq(batch.rows))]
        yield from writes


class TurnsKeysRound(Upsert):
    def schema(self, stream: Stream, schema: pa.Schema) -> TableSchema:
        table = super().schema(stream, schema)
        return evolve(table, key=table.key[::-1])


class TakesAnyKey(Upsert):
    def schema(self, stream: Stream, schema: pa.Schema) -> TableSchema:
        return super().schema(stream, with_key(schema, key_of(schema) or schema.names))


class ForgetsTruncates(Upsert):
    def plan(self, batch: Batch) -> Iterable[Write]:  # type: ignore[override]
        return () if batch.kind is Kind.TRUNCATE else super().plan(batch)


class SaysTooMuch(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        for write in super().plan(batch):
            yield evolve(write, seq=_raised(write.seq) if write.rows is not None and write.seq else write.seq)


class NeedsMoreThanItSays(Upsert):
    needs: ClassVar[frozenset[Mode]] = frozenset({Mode.MERGE})


class LeavesOutAColumn(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        for write in super().plan(batch):
            yield evolve(write, rows=write.rows.drop_columns([COMMIT_TS]) if write.rows is not None else None)


class RemembersTheFirstTable(Append):
    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self._tables: dict[Stream, TableSchema] = {}

    def schema(self, stream: Stream, schema: pa.Schema) -> TableSchema:
        return self._tables.setdefault(stream, super().schema(stream, schema))


class ForgetsSteps(Upsert):
    def plan(self, batch: Batch) -> Iterator[Write]:
        for write in super().plan(batch):
            yield evolve(write, step=None)


class ForgetsOpenSnapshots(Append):
    """Takes a marker without a sequence for none."""

    def plan(self, batch: Batch) -> Iterator[Write]:
        if batch.kind is Kind.ROWS or batch.seq is not None:
            yield from super().plan(batch)


class MixesStreams(Append):
    """Remembers one stream's snapshot only."""

    def plan(self, batch: Batch) -> Iterator[Write]:
        here = evolve(batch, stream=Stream("", "any"))
        for write in super().plan(here):
            assert batch.stream is not None
            yield evolve(write, stream=batch.stream)


class WritesIntoItsInput(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        for chunk in batch.rows.column(COMMIT_TS).chunks if isinstance(batch.rows, pa.Table) else ():
            ctypes.memset(chunk.buffers()[1].address, 0, chunk.buffers()[1].size)
        yield from super().plan(batch)


class LooksOutside(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        with Path(os.devnull).open(encoding="utf-8"):
            yield from super().plan(batch)


class TakesTheTime(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        for write in super().plan(batch):
            now = pa.array([time_ns() // 1000] * (write.rows.num_rows if write.rows is not None else 0))
            column = now.cast(pa.timestamp("us", tz="UTC"))
            yield write if write.rows is None else evolve(write, rows=_with(write.rows, COMMIT_TS, column))


class NeedsARow(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        if batch.rows is not None:
            batch.rows.column(OP)[0]
        yield from super().plan(batch)


class ForgetsOldKeys(Upsert):
    def plan(self, batch: Batch) -> Iterator[Write]:
        if isinstance(batch.rows, pa.Table):
            column = batch.rows.column(OLD_KEY)
            batch = evolve(batch, rows=_with(batch.rows, OLD_KEY, pa.nulls(len(column), column.type)))
        yield from super().plan(batch)


class LosesDeletes(LatestOnly):
    """The same where a history of everything is promised."""


class StampsTheFirst(Upsert):
    """Gives every row of a write the sequence of the first change."""

    def plan(self, batch: Batch) -> Iterator[Write]:
        for write in super().plan(batch):
            if write.rows is None or not write.rows.num_rows or not isinstance(batch.rows, pa.Table):
                yield write
                continue
            first: Sequence[bytes] = [batch.rows.column(SEQ)[0].as_py()] * write.rows.num_rows
            rows = _with(write.rows, SEQ, pa.array(first, pa.binary(20)))
            yield evolve(write, rows=rows, seq=highest_seq(rows))


class TakesChanges(Replace):
    """Passes changes on where only snapshots are taken."""

    def plan(self, batch: Batch) -> Iterator[Write]:
        if batch.kind is Kind.ROWS and isinstance(batch.rows, pa.Table):
            ops = pa.array(["r"] * batch.rows.num_rows, pa.string())
            step = self._snapshots.step(batch)
            if step is None:
                self._snapshots.step(Batch(Kind.SNAPSHOT_BEGIN, batch.stream))
            batch = evolve(batch, rows=_with(batch.rows, OP, ops))
        yield from super().plan(batch)


class KeepsTheFirstWithoutSequences(Upsert):
    """Takes the first change of a key for the last, where no sequence tells otherwise."""

    def plan(self, batch: Batch) -> Iterator[Write]:
        if isinstance(batch.rows, pa.Table) and highest_seq(batch.rows) is None:
            turned = pa.array(range(batch.rows.num_rows - 1, -1, -1), pa.int64())
            batch = evolve(batch, rows=batch.rows.take(turned))
        yield from super().plan(batch)


class LosesRowsWithoutSequences(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        if isinstance(batch.rows, pa.Table):
            batch = evolve(batch, rows=batch.rows.filter(pc.is_valid(batch.rows.column(SEQ))))
        yield from super().plan(batch)


class _Cuts(Upsert):
    """Loses times in rows of some kind."""

    def cuts(self, batch: Batch) -> bool:
        raise NotImplementedError

    def plan(self, batch: Batch) -> Iterator[Write]:
        rows = batch.rows
        if isinstance(rows, pa.Table) and rows.num_rows and self.cuts(batch):
            for one in rows.schema:
                if one.name == "value" and pa.types.is_temporal(one.type):
                    rows = _with(rows, one.name, pa.nulls(rows.num_rows, one.type))
        yield from super().plan(evolve(batch, rows=rows))


class CutsChanges(_Cuts):
    def cuts(self, batch: Batch) -> bool:
        assert isinstance(batch.rows, pa.Table)
        return batch.rows.column(OP)[0].as_py() != "r"


class CutsSnapshots(_Cuts):
    def cuts(self, batch: Batch) -> bool:
        assert isinstance(batch.rows, pa.Table)
        return batch.rows.column(OP)[0].as_py() == "r"
