"""Changes written down beforehand: a source that tells them, and what a destination must hold after them.

The oracle is plain Python over dictionaries and knows nothing of loaders or Arrow.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from attrs import define, evolve, field, frozen

from etl_core.errors import RetryableError
from etl_core.interfaces import Context, Source
from etl_core.model import (
    COMMIT_TS,
    OLD_KEY,
    OP,
    SEQ,
    UNCHANGED,
    AddColumn,
    Batch,
    Change,
    DropColumn,
    Kind,
    RenameColumn,
    Stream,
    StreamInfo,
    pack_seq,
)
from etl_core.schema import reserved_schema

__all__ = ["COLUMNS", "Row", "Script", "ScriptedSource", "altered_row"]

Row = dict[str, Any]
Key = tuple[Any, ...]

#: The columns of a script unless it says otherwise; `note` is what a source may leave out of an update.
COLUMNS = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("amount", pa.decimal128(12, 2)),
        pa.field("note", pa.string()),
    ]
)


@frozen
class Entry:
    """One change (or marker) of a script. `lsn` and `ordinal` make its sequence, with the epoch of a run."""

    kind: Kind
    lsn: int
    ordinal: int
    op: str = ""
    values: Mapping[str, Any] = field(factory=dict)
    unchanged: tuple[str, ...] = ()
    old_key: Mapping[str, Any] | None = None
    schema: pa.Schema | None = None
    changes: tuple[Change, ...] = ()


@define
class Script:
    """What happens to one stream, in order. Each method adds; `commit` ends a transaction.

    A position value of `ScriptedSource` is the number of transactions told.
    """

    stream: Stream
    schema: pa.Schema = COLUMNS
    key: tuple[str, ...] = ("id",)
    transactions: list[list[Entry]] = field(factory=list)
    _open: list[Entry] = field(factory=list)
    _first: pa.Schema = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._first = self.schema

    @property
    def first_schema(self) -> pa.Schema:
        """The columns before any change of schema."""
        return self._first

    def snapshot(self, rows: Sequence[Row], parts: int = 1) -> Script:
        """Read the whole table: its rows, in `parts` transactions, between the markers."""
        self.commit()
        lsn = self._lsn() - 1
        self._mark(Kind.SNAPSHOT_BEGIN, lsn, 0, schema=self.schema)
        size = -(-len(rows) // parts) or 1
        for number, row in enumerate(rows, 1):
            self._open.append(Entry(Kind.ROWS, lsn, number, "r", dict(row)))
            if number % size == 0:
                self.commit()
        self._mark(Kind.SNAPSHOT_END, lsn, len(rows) + 1)
        return self.commit()

    def insert(self, *rows: Row) -> Script:
        for row in rows:
            self._change("i", dict(row))
        return self

    def update(self, row: Row, *, unchanged: Sequence[str] = (), old_key: Row | None = None) -> Script:
        """Change a row: `row` has all columns but those `unchanged`; `old_key` where the key changed."""
        self._change("u", dict(row), tuple(unchanged), old_key)
        return self

    def delete(self, *keys: Row) -> Script:
        for key in keys:
            self._change("d", dict(key))
        return self

    def truncate(self) -> Script:
        self._mark(Kind.TRUNCATE, *self._next())
        return self

    def alter(self, schema: pa.Schema, *changes: Change) -> Script:
        """Change the columns to `schema`; a transaction of its own begins with the next row."""
        self.commit()
        lsn, ordinal = self._next()
        self.schema = schema
        self._mark(Kind.SCHEMA, lsn, ordinal - 1, schema=schema, changes=changes)
        return self

    def commit(self) -> Script:
        if self._open:
            self.transactions.append(self._open)
            self._open = []
        return self

    def entries(self, upto: int | None = None) -> list[Entry]:
        """Return what the first `upto` transactions (None: all) hold."""
        self.commit()
        return [entry for transaction in self.transactions[:upto] for entry in transaction]

    def mirror(self, upto: int | None = None) -> dict[Key, Row]:
        """Return the rows of the table after `upto` transactions, by key."""
        table: dict[Key, Row] = {}
        for entry in self.entries(upto):
            table = self._applied(table, entry)
        return table

    def history(self, epoch: int, upto: int | None = None, *, reserved: bool = False) -> list[Row]:
        """Return every change in order, with `_etl_op` and `_etl_seq`; columns not sent are None.

        With `reserved` the rows have the other reserved columns too.
        """
        schema, rows = self._first, []
        for entry in self.entries(upto):
            schema = entry.schema or schema
            if entry.kind is Kind.ROWS:
                sent = {name: entry.values.get(name) for name in schema.names}
                known = {OP: entry.op, SEQ: pack_seq(epoch, entry.lsn, entry.ordinal)}
                rows.append({**sent, **known, **(_rest(entry) if reserved else {})})
        return rows

    def batches(
        self, epoch: int, first: int = 0, last: int | None = None, *, cut: int | None = None
    ) -> Iterator[Batch]:
        """Yield the batches of the transactions from `first` up to `last`, without positions."""
        self.commit()
        schema = self.first_schema
        for number, transaction in enumerate(self.transactions[:last]):
            if number >= first:
                yield from _batches(self, transaction, schema, epoch, cut)
            schema = next((e.schema for e in reversed(transaction) if e.schema is not None), schema)

    def key_of(self, row: Mapping[str, Any]) -> Key:
        return tuple(row[name] for name in self.key)

    def _applied(self, table: dict[Key, Row], entry: Entry) -> dict[Key, Row]:
        if entry.kind in {Kind.SNAPSHOT_BEGIN, Kind.TRUNCATE}:
            return {}
        if entry.kind is Kind.SCHEMA:
            return {key: altered_row(row, entry.changes) for key, row in table.items()}
        if entry.kind is not Kind.ROWS:
            return table
        key = self.key_of(entry.values)
        base = table.pop(self.key_of(entry.old_key) if entry.old_key else key, {})
        if entry.op != "d":
            table[key] = {**entry.values, **{name: base.get(name) for name in entry.unchanged}}
        return table

    def _change(
        self, op: str, values: Row, unchanged: tuple[str, ...] = (), old_key: Row | None = None
    ) -> None:
        self._open.append(Entry(Kind.ROWS, *self._next(), op, values, unchanged, old_key))

    def _mark(self, kind: Kind, lsn: int, ordinal: int, **facts: Any) -> None:
        self._open.append(Entry(kind, lsn, ordinal, **facts))

    def _lsn(self) -> int:
        return 100 * (len(self.transactions) + 1)

    def _next(self) -> tuple[int, int]:
        return self._lsn(), 2 * (len(self._open) + 1)


def _rest(entry: Entry) -> Row:
    old_key = dict(entry.old_key) if entry.old_key else None
    return {COMMIT_TS: _commit_ts(entry), UNCHANGED: list(entry.unchanged) or None, OLD_KEY: old_key}


def _commit_ts(entry: Entry) -> int:
    return entry.lsn * 1_000_000


def altered_row(row: Row, changes: Sequence[Change]) -> Row:
    """Return a stored row after changes of the schema: what was dropped stays, as under `evolve`."""
    for change in changes:
        if isinstance(change, AddColumn):
            row = {**row, change.name: change.default}
        elif isinstance(change, RenameColumn):
            row = {(change.new if name == change.old else name): value for name, value in row.items()}
        elif isinstance(change, DropColumn):
            continue
    return row


class ScriptedSource(Source):
    """Tells scripts transaction by transaction, `cut` changes of a transaction per batch (None: all).

    `fail_before` raises, once each, before the transactions of those numbers are told.
    """

    def __init__(
        self, *scripts: Script, cut: int | None = None, fail_before: Sequence[int] = (), endless: bool = False
    ) -> None:
        self._scripts = scripts
        self._cut = cut
        self._fail_before = set(fail_before)
        self._endless = endless
        self.idle = threading.Event()

    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        return [
            StreamInfo(each.stream, each.first_schema, each.key, stable_seq=True) for each in self._scripts
        ]

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        told = resume or 0
        for number, (script, transaction, schema) in enumerate(self._transactions()):
            if number < told:
                continue
            if number in self._fail_before:
                self._fail_before.discard(number)
                raise RetryableError("the script says to fail here")
            batches = _batches(script, transaction, schema, ctx.epoch, self._cut)
            yield from _positioned(batches, number)
        while self._endless and not ctx.cancel.is_set():
            self.idle.set()
            ctx.cancel.wait(ctx.poll_interval)
            yield None

    def _transactions(self) -> Iterator[tuple[Script, list[Entry], pa.Schema]]:
        """Yield each script's transactions after another's, with the columns each begins with."""
        for script in self._scripts:
            script.commit()
            schema = script.first_schema
            for transaction in script.transactions:
                yield script, transaction, schema
                schema = next((e.schema for e in reversed(transaction) if e.schema is not None), schema)


def _positioned(batches: Sequence[Batch], number: int) -> Iterator[Batch]:
    """Give the last batch of a transaction its position; a schema change lies just before its own."""
    for place, batch in enumerate(batches, 1):
        if batch.kind is Kind.SCHEMA:
            yield evolve(batch, position=number, complete=True)
        elif place == len(batches):
            yield evolve(batch, position=number + 1)
        else:
            yield evolve(batch, complete=False)


def _batches(
    script: Script, transaction: Sequence[Entry], schema: pa.Schema, epoch: int, cut: int | None
) -> list[Batch]:
    batches: list[Batch] = []
    waiting: list[Entry] = []

    def hand_over() -> None:
        size = cut or len(waiting) or 1
        for start in range(0, len(waiting), size):
            rows = _rows(waiting[start : start + size], schema, script.key, epoch)
            batches.append(Batch.of(script.stream, rows))
        waiting.clear()

    for entry in transaction:
        if entry.kind is Kind.ROWS:
            waiting.append(entry)
            continue
        hand_over()
        schema = entry.schema or schema
        batches.append(_marker(script, entry, epoch))
    hand_over()
    return batches


def _marker(script: Script, entry: Entry, epoch: int) -> Batch:
    return Batch(
        entry.kind,
        script.stream,
        schema=entry.schema,
        key=script.key if entry.schema is not None else None,
        changes=entry.changes,
        seq=pack_seq(epoch, entry.lsn, entry.ordinal),
    )


def _rows(entries: Sequence[Entry], schema: pa.Schema, key: Sequence[str], epoch: int) -> pa.RecordBatch:
    """Make rows of changes; data columns are nullable, as a delete carries its key only."""
    columns = [each.with_nullable(each.name not in key) for each in schema]
    wanted = pa.schema([*columns, *reserved_schema(schema, key)])
    data: dict[str, list[Any]] = {
        each.name: [entry.values.get(each.name) for entry in entries] for each in columns
    }
    data[OP] = [entry.op for entry in entries]
    data[SEQ] = [pack_seq(epoch, entry.lsn, entry.ordinal) for entry in entries]
    data[COMMIT_TS] = [_commit_ts(entry) for entry in entries]
    data[UNCHANGED] = [list(entry.unchanged) or None for entry in entries]
    data[OLD_KEY] = [entry.old_key for entry in entries]
    arrays = [pa.array(data[each.name], each.type) for each in wanted]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)
