"""What batches say about each stream, however they are cut; and whether two readings say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from attrs import define, field, frozen

from etl_core.model import OLD_KEY, OP, RESERVED, SEQ, UNCHANGED, Batch, Kind, Stream, StreamInfo
from etl_core.testing.verdicts import expect

__all__ = ["Item", "Told", "missing", "same", "same_changes", "same_tables", "told", "values_of"]


@frozen
class Item:
    """A row or a marker of one stream. `values` holds the row's columns that are not null, as text."""

    kind: Kind
    op: str = ""
    seq: bytes | None = None
    values: Mapping[str, str] = field(factory=dict)
    unchanged: tuple[str, ...] = ()
    old_key: Mapping[str, str] | None = None


@define
class Told:
    """One stream: what came, less the rows of snapshots that were begun anew."""

    items: list[Item] = field(factory=list)
    #: Whether a snapshot is open, and from which item on.
    open: bool = False
    began: int = 0

    def take(self, items: Iterable[Item]) -> None:
        for item in items:
            if item.kind is Kind.SNAPSHOT_BEGIN:
                self._begin()
            elif item.kind is Kind.SNAPSHOT_END:
                self.open = False
            self.items.append(item)

    def _begin(self) -> None:
        if self.open:
            del self.items[self.began :]
        self.open, self.began = True, len(self.items)

    @property
    def last_begin(self) -> bytes | None:
        """The sequence of the last snapshot's begin."""
        begins = [item.seq for item in self.items if item.kind is Kind.SNAPSHOT_BEGIN]
        return begins[-1] if begins else None

    @property
    def is_copied(self) -> bool:
        """Whether a snapshot was taken, and none is open."""
        return not self.open and any(item.kind is Kind.SNAPSHOT_END for item in self.items)

    def table(self, key: Sequence[str]) -> Counter[str] | None:
        """Return the rows a mirror has after all this; None where they cannot be told apart."""
        rows: dict[object, list[dict[str, str]]] = {}
        for number, item in enumerate(self.items):
            if item.kind in {Kind.SNAPSHOT_BEGIN, Kind.TRUNCATE}:
                rows.clear()
            if item.kind is not Kind.ROWS:
                continue
            if not key and item.op in "ud":
                return None
            place = tuple(item.values.get(name) for name in key) if key else number
            _apply(rows, place, item, key)
        return Counter(repr(sorted(row.items())) for found in rows.values() for row in found)


def _apply(rows: dict[object, list[dict[str, str]]], place: object, item: Item, key: Sequence[str]) -> None:
    if item.op == "r":  # a row that is read twice is there twice
        rows.setdefault(place, []).append(dict(item.values))
        return
    before = tuple(item.old_key.get(name) for name in key) if item.old_key else place
    base = (rows.pop(before, None) or [{}])[0]
    if item.op != "d":
        kept = {name: base[name] for name in item.unchanged if name in base}
        rows[place] = [{**item.values, **kept}]


def told(batches: Iterable[Batch]) -> dict[Stream, Told]:
    """Return by stream what batches say, in order."""
    found: dict[Stream, Told] = {}
    for batch in batches:
        if batch.stream is None or batch.kind is Kind.PROGRESS or _is_reminder(batch):
            continue
        stream = found.setdefault(batch.stream, Told())
        stream.take(_items(batch, "r" if stream.open else "i"))
    return found


def _is_reminder(batch: Batch) -> bool:
    """Whether a marker only says which columns a stream has at a position that is resumed from."""
    return batch.kind is Kind.SCHEMA and not batch.changes


def _items(batch: Batch, op: str) -> Iterable[Item]:
    if batch.kind is not Kind.ROWS or batch.rows is None:
        return [Item(batch.kind, seq=batch.seq)]
    names = [name for name in batch.rows.schema.names if name not in RESERVED]
    columns = {name: _texts(batch.rows.column(name)) for name in names}
    count = batch.rows.num_rows
    reserved = {name: values_of(batch.rows, name) or [None] * count for name in (OP, SEQ, UNCHANGED, OLD_KEY)}
    return [
        Item(
            Kind.ROWS,
            reserved[OP][n] or op,
            reserved[SEQ][n],
            {name: text for name in names if (text := columns[name][n]) is not None},
            tuple(reserved[UNCHANGED][n] or ()),
            None if reserved[OLD_KEY][n] is None else {k: repr(v) for k, v in reserved[OLD_KEY][n].items()},
        )
        for n in range(count)
    ]


def values_of(rows: pa.RecordBatch | pa.Table, name: str) -> list[Any] | None:
    """Return the values of a column; None where there is no such column."""
    return rows.column(name).to_pylist() if name in rows.schema.names else None


def _texts(column: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Return values as text; those that Python has no value for as the bytes that Arrow would send."""
    try:
        return [None if value is None else repr(value) for value in column.to_pylist()]
    except (ValueError, OverflowError):
        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        return [_bytes(whole.slice(n, 1)) for n in range(len(whole))]


def _bytes(value: pa.Array) -> str | None:
    if value.null_count:
        return None
    data: bytes = pa.record_batch([value], names=["value"]).serialize().to_pybytes()
    return data.hex()


def same(
    wanted: Sequence[Batch],
    before: Sequence[Batch],
    rest: Sequence[Batch],
    streams: Mapping[Stream, StreamInfo],
    **facts: object,
) -> None:
    """Break the clause unless `before` and `rest` together say what `wanted` says.

    That is: the same changes of each stream in the same order, with the same sequences where they are stable.
    Where the rest begins another snapshot of a stream, the tables must be equal after it. It must not where
    the last one was done.
    """
    one, other, done = told(wanted), told([*before, *rest]), told(before)
    begun, due = _begins(rest), _begins(wanted[len(before) :])
    for stream in sorted({*one, *other}):
        info, where = streams.get(stream), {"stream": stream, **facts}
        left, right = one.get(stream, Told()), other.get(stream, Told())
        if stream in begun and (begun[stream] is None or begun[stream] != left.last_begin):
            again = stream not in due and done.get(stream, Told()).is_copied
            expect(not again, "a snapshot that was done is begun again", **where)
            same_tables(left, right, info.key if info else (), where)
        else:
            same_changes(left, right, info is not None and info.stable_seq, where)


def _begins(batches: Iterable[Batch]) -> dict[Stream | None, bytes | None]:
    """Return by stream the sequence of the last snapshot's begin."""
    return {batch.stream: batch.seq for batch in batches if batch.kind is Kind.SNAPSHOT_BEGIN}


def same_tables(one: Told, other: Told, key: Sequence[str], where: Mapping[str, Any]) -> None:
    """Break the clause unless the tables are equal after it all."""
    wanted, found = one.table(key), other.table(key)
    if wanted is not None and found is not None:
        _balance(wanted, found, {**where, "after": "a new snapshot"})


def same_changes(one: Told, other: Told, stable: bool, where: Mapping[str, Any]) -> None:
    """Break the clause unless the changes are the same, in order."""
    wanted, found = [_text(item) for item in one.items], [_text(item) for item in other.items]
    _balance(Counter(wanted), Counter(found), where)
    number = next((n for n, pair in enumerate(zip(wanted, found, strict=True)) if pair[0] != pair[1]), None)
    expect(number is None, "rows come in another order", first_at=number, **where)
    if stable:
        moved = [n for n, pair in enumerate(zip(one.items, other.items, strict=True)) if _moved(*pair)]
        expect(not moved, "a change has another _etl_seq than before", rows=len(moved), **where)


def missing(one: Told, other: Told, where: Mapping[str, Any]) -> None:
    """Break the clause where a change of `one` is not in `other`."""
    lost = Counter(map(_text, one.items)) - Counter(map(_text, other.items))
    expect(not lost, "rows are missing", missing=lost.total(), **where)


def _balance(wanted: Counter[str], found: Counter[str], where: Mapping[str, Any]) -> None:
    lost, extra = (wanted - found).total(), (found - wanted).total()
    expect(not lost, "rows are missing", missing=lost, too_many=extra, **where)
    expect(not extra, "rows come that should not", too_many=extra, **where)


def _moved(one: Item, other: Item) -> bool:
    return one.seq != other.seq


def _text(item: Item) -> str:
    return repr((item.kind.value, item.op, sorted(item.values.items()), item.unchanged, item.old_key))
