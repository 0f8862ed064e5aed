"""Which column is which: a relation message names columns without their attribute numbers.

The columns of a message are the table's live ones in the order of their numbers, as they were when the
change was made. Known are the columns as they were before and the catalog as it is now, which may be ahead
of the change. `align` finds the assignment of numbers, rising from column to column, that contradicts
neither. An entry of the catalog that was last changed by a transaction up to the change's own is taken to
say how things were then: transaction ids follow the order of the WAL but for long transactions, so this
only decides between assignments that are equally good otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from etl_postgres_cdc.catalog import Attribute
from etl_postgres_cdc.pgoutput import RelationColumn
from etl_postgres_cdc.position import Column

__all__ = ["align"]

_CONTRADICTION = 100
_NEW_NAME = 8
_NEW_TYPE = 4
_AHEAD = 1
_UNSEEN = 2
_LATER = 9
_IMPOSSIBLE = 10**9


@frozen
class _Candidate:
    """An attribute number with what is known about it."""

    number: int
    before: Column | None
    now: Attribute | None
    settled: bool

    def left_out(self) -> int:
        """Return the cost of assuming that the message does not have this column."""
        if self.now is None:
            return _AHEAD
        if self.now.dropped:
            return 0 if self.settled else _AHEAD
        if not self.now.published:
            return 0
        return _CONTRADICTION if self.before or self.settled else 0

    def matched(self, column: RelationColumn) -> int:
        """Return the cost of assuming that this is the message's column."""
        if self.now is None or self.now.dropped:
            gone = _CONTRADICTION if self.settled else 0
            return gone + (_difference(column, self.before) if self.before else _UNSEEN)
        now = _difference(column, self.now) + (0 if self.now.published else _CONTRADICTION)
        if self.settled:
            return now
        return min(_difference(column, self.before), now + _AHEAD) if self.before else now + _LATER


def _difference(column: RelationColumn, known: Column | Attribute) -> int:
    same_type = (column.oid, column.typmod) == (known.oid, known.typmod) or known.oid == 0
    return _NEW_NAME * (column.name != known.name) + _NEW_TYPE * (not same_type)


def align(
    before: Sequence[Column], now: Sequence[Attribute], message: Sequence[RelationColumn], xid: int
) -> tuple[Column, ...]:
    """Return the message's columns with their attribute numbers.

    `before` are the columns known so far, `now` the catalog's, `xid` the transaction of the change.
    """
    candidates = _candidates(before, now, len(message), xid)
    costs = _costs(candidates, message)
    columns: list[Column] = []
    at = 0
    for index, candidate in enumerate(candidates):
        if at == len(message):
            break
        column = message[at]
        if costs[index][at] == candidate.matched(column) + costs[index + 1][at + 1]:
            columns.append(Column(candidate.number, column.name, column.oid, column.typmod))
            at += 1
    return tuple(columns)


def _candidates(
    before: Sequence[Column], now: Sequence[Attribute], wanted: int, xid: int
) -> list[_Candidate]:
    known = {column.number: column for column in before}
    present = {attribute.number: attribute for attribute in now}
    numbers = sorted(known.keys() | present.keys())
    if not present:  # the table is gone: nothing says how many columns it had in the end
        last = numbers[-1] if numbers else 0
        numbers += range(last + 1, last + 1 + wanted)
    return [
        _Candidate(n, known.get(n), present.get(n), n in present and _not_after(present[n].xid, xid))
        for n in numbers
    ]


def _not_after(xid: int, other: int) -> bool:
    """Compare transaction ids, which wrap around."""
    return (other - xid) & 0xFFFFFFFF < 0x80000000


def _costs(candidates: Sequence[_Candidate], message: Sequence[RelationColumn]) -> list[list[int]]:
    """Return the least cost of assigning `message[j:]` to `candidates[i:]`, by i and j."""
    width = len(message) + 1
    costs = [[_IMPOSSIBLE] * width for _ in range(len(candidates) + 1)]
    costs[-1][-1] = 0
    for i in reversed(range(len(candidates))):
        for j in reversed(range(width)):
            best = candidates[i].left_out() + costs[i + 1][j]
            if j < len(message):
                best = min(best, candidates[i].matched(message[j]) + costs[i + 1][j + 1])
            costs[i][j] = best
    return costs
