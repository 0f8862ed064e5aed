"""Whether what became durable is what a source tells: all of it, and once as far as can be known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from etl_core.model import Batch, Kind, Stream, StreamInfo
from etl_core.testing.source.changes import Item, Told, missing, same_changes, same_tables, told
from etl_core.testing.verdicts import expect

__all__ = ["once", "repeated"]


def repeated(batches: Sequence[Batch]) -> dict[Stream, int]:
    """Return by stream how many rows have a sequence that another one has."""
    return {stream: len(one.items) - len(_distinct(one).items) for stream, one in told(batches).items()}


def once(
    wanted: Sequence[Batch],
    found: Sequence[Batch],
    streams: Mapping[Stream, StreamInfo],
    *,
    loose: bool,
    **facts: object,
) -> None:
    """Break the clause unless all that is wanted was found, once.

    Where `loose`, rows may come twice: those with a sequence are then taken once, of others none may miss.
    Snapshots may have been taken at different times: there the tables must be equal.
    """
    one, other = told(wanted), told(found)
    for stream in sorted({*one, *other}):
        info, where = streams.get(stream), {"stream": stream, **facts}
        stable = info is not None and info.stable_seq
        again = 0 if loose else _ends(other.get(stream, Told())) - _ends(one.get(stream, Told()))
        expect(again <= 0, "a snapshot that was durable came again", snapshots=again, **where)
        left, right = _rows(one.get(stream, Told())), _rows(other.get(stream, Told()))
        right = _distinct(right) if loose and stable else right
        if any(item.kind is Kind.SNAPSHOT_BEGIN for item in left.items):
            same_tables(left, right, info.key if info else (), where)
        elif loose and not stable:
            missing(left, right, where)
        else:
            same_changes(left, right, False, where)


def _ends(one: Told) -> int:
    return sum(item.kind is Kind.SNAPSHOT_END for item in one.items)


def _rows(one: Told) -> Told:
    """Return what a history keeps: rows, and the markers of snapshots."""
    kept = {Kind.ROWS, Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END}
    return attrs.evolve(one, items=[item for item in one.items if item.kind in kept])


def _distinct(one: Told) -> Told:
    """Return it without rows whose sequence was there before; a snapshot's begin makes all come anew."""
    seen: set[bytes] = set()
    items: list[Item] = []
    for item in one.items:
        if item.kind is Kind.SNAPSHOT_BEGIN:
            seen.clear()
        if item.kind is not Kind.ROWS or item.seq is None or item.seq not in seen:
            items.append(item)
        if item.kind is Kind.ROWS and item.seq is not None:
            seen.add(item.seq)
    return attrs.evolve(one, items=items)
