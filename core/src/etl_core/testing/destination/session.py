"""Driving a destination as a run does: through a pipeline, or call by call to look in between."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from etl_core.config import BatchPolicy, CommitPolicy, Duration, LoadSettings, Resources, RetryPolicy
from etl_core.engine.observing import ObserverHub
from etl_core.engine.pipeline import Pipeline
from etl_core.engine.tables import Tables
from etl_core.errors import RetryableError
from etl_core.interfaces import Loader
from etl_core.loaders.append import Append
from etl_core.loaders.config import UpsertConfig
from etl_core.loaders.replace import Replace
from etl_core.loaders.upsert import Upsert
from etl_core.model import (
    SEQ,
    Batch,
    Kind,
    Mode,
    Position,
    Rejected,
    Stream,
    TableSchema,
    Write,
    pack_seq,
)
from etl_core.schema import SEQ_TYPE, add_reserved, data_columns, with_key

if TYPE_CHECKING:
    from pathlib import Path

    from etl_core.interfaces import Context, Destination, Source, StateStore
    from etl_core.testing.script import Script

__all__ = ["Interrupted", "Session", "loader_named", "pipeline"]

_POSITIONS = count(1)


def loader_named(name: str) -> Loader:
    """Return a new loader: `append`, `upsert`, `upsert soft` or `replace`."""
    if name == "append":
        return Append()
    if name == "replace":
        return Replace()
    return Upsert(UpsertConfig(delete="soft", metadata=True) if name == "upsert soft" else None)


class Interrupted(Loader):
    """A loader that fails at the calls of `plan` of those numbers, once writes before it were accepted."""

    def __init__(self, loader: Loader, calls: Collection[int]) -> None:
        self._loader = loader
        self._calls = calls
        self._called = 0
        self.needs = loader.needs  # type: ignore[misc]
        self.snapshot_only = loader.snapshot_only  # type: ignore[misc]

    def schema(self, stream: Stream, schema: pa.Schema) -> TableSchema:
        return self._loader.schema(stream, schema)

    def plan(self, batch: Batch) -> Iterable[Write]:
        self._called += 1
        if self._called in self._calls:
            raise RetryableError("the kit says to fail here")
        return self._loader.plan(batch)


def pipeline(
    name: str,
    source: Source,
    destination: Destination,
    loader: Loader,
    state: StateStore,
    spill: Path,
    *,
    max_rows: int = 65536,
    drop_columns: bool = False,
) -> Pipeline:
    """Return a pipeline that commits at every position and retries at once."""
    settings = LoadSettings(
        batch=BatchPolicy(max_rows=max_rows),
        commit=CommitPolicy(max_wait=Duration(0.0)),
        drop_columns=drop_columns,
    )
    return Pipeline(
        name,
        source,
        destination,
        loader=loader,
        state=state,
        load=settings,
        retry=RetryPolicy(base=Duration(0.001), cap=Duration(0.01)),
        resources=Resources(spill=spill),
    )


class Session:
    """One life of an open destination. Tables are made to fit and rows are planned by the engine's own parts.

    Leaving it closes the destination, which forgets what is not durable.
    """

    def __init__(
        self, destination: Destination, ctx: Context, loader: Loader, *, fence: str = "kit", epoch: int = 1
    ) -> None:
        self.destination = destination
        self._ctx = ctx
        self._loader = loader
        self._fence = fence
        self._epoch = epoch
        self._tables = self._new_tables()
        self._schemas: dict[Stream, pa.Schema] = {}
        self._ready: set[Stream] = set()

    def __enter__(self) -> Self:
        try:
            self.destination.open(self._ctx, self._fence)
        except BaseException:
            self.destination.abort()
            self.destination.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.destination.close()

    def tell(
        self, script: Script, first: int = 0, last: int | None = None, *, cut: int | None = None
    ) -> list[Rejected]:
        """Write the transactions from `first` up to `last`, `cut` changes at a time; return refused rows."""
        refused: list[Rejected] = []
        self._schemas.setdefault(script.stream, with_key(script.first_schema, script.key))
        for batch in script.batches(self._epoch, first, last, cut=cut):
            refused += self.take(batch, script.key)
        return refused

    def put(self, stream: Stream, rows: pa.Table, key: Sequence[str] = ("id",)) -> list[Rejected]:
        """Write rows without reserved columns, in one piece, as inserts of a source without sequences.

        A loader that takes snapshots only gets them as one. To merge into a destination that keeps no
        position takes sequences: there they are given.
        """
        if self._loader.snapshot_only:
            return self.stage(stream, rows, key)
        if Mode.MERGE in self._loader.needs and not self.destination.keeps_position:
            rows = rows.append_column(SEQ, self._seqs(rows.num_rows))
        return self.take(Batch(Kind.ROWS, stream, _reserved(rows, key, "i")), key)

    def _seqs(self, count: int) -> pa.Array:
        place = next(_POSITIONS)
        return pa.array([pack_seq(self._epoch, place, n) for n in range(count)], SEQ_TYPE)

    def stage(self, stream: Stream, rows: pa.Table, key: Sequence[str] = ("id",)) -> list[Rejected]:
        """Write rows without reserved columns, in one piece, as a snapshot."""
        begin, end = (pack_seq(self._epoch, next(_POSITIONS), 0) for _ in range(2))
        refused = self.take(
            Batch(Kind.SNAPSHOT_BEGIN, stream, schema=rows.schema, key=tuple(key), seq=begin), key
        )
        refused += self.take(Batch(Kind.ROWS, stream, _reserved(rows, key, "r")), key)
        return refused + self.take(Batch(Kind.SNAPSHOT_END, stream, seq=end), key)

    def take(self, batch: Batch, key: Sequence[str]) -> list[Rejected]:
        """Do what a run does with one batch; return refused rows."""
        stream = batch.stream
        assert stream is not None
        self._prepare(batch, stream, key)
        if batch.kind is Kind.SCHEMA:
            return []
        rows = batch.rows
        if isinstance(rows, pa.RecordBatch):
            batch = Batch(batch.kind, stream, pa.Table.from_batches([rows]), seq=batch.seq)
        return [each for write in self._loader.plan(batch) for each in self._tables.write(write)]

    def flush(self, value: Any = None) -> Position:
        """Make everything written durable, with a position of its own; return it."""
        position = self.position(value)
        self.destination.flush(position)
        return position

    def position(self, value: Any = None) -> Position:
        """Return a new position, above all before."""
        return Position(self._epoch, next(_POSITIONS), value)

    def abort(self) -> None:
        """Forget what is not durable, and what was known of tables."""
        self.destination.abort()
        self._tables = self._new_tables()
        self._ready.clear()

    def _prepare(self, batch: Batch, stream: Stream, key: Sequence[str]) -> None:
        if batch.rows is None and batch.schema is None:  # an end or a truncate says nothing of columns
            self._tables.existing(stream, self._schemas[stream], lambda: None)
            return
        schema = batch.schema if batch.rows is None else data_columns(batch.rows.schema)
        keyed = with_key(schema, key)
        if stream not in self._ready or batch.rows is None or not self._schemas[stream].equals(keyed):
            replacing = batch.kind is Kind.SNAPSHOT_BEGIN
            seq = batch.seq if batch.kind is Kind.SCHEMA else None
            self._tables.prepare(stream, keyed, batch.changes, seq, replacing=replacing)
            self._schemas[stream] = keyed
            self._ready.add(stream)

    def _new_tables(self) -> Tables:
        return Tables(self.destination, self._loader, LoadSettings(), lambda stream: stream, _HUB)


def _reserved(rows: pa.Table, key: Sequence[str], op: str) -> pa.Table:
    batches = [add_reserved(batch, key, op) for batch in rows.to_batches()]
    empty = add_reserved(pa.RecordBatch.from_pylist([], rows.schema), key, op)
    return pa.Table.from_batches(batches, empty.schema)


_HUB = ObserverHub("kit", ())
