"""What a run of changes leaves of each key, when earlier changes of the same run matter.

A write is applied as a set: the base rows of all keys and old keys are read, then removed, then the rows
are put. `Folding` takes changes one by one and keeps at most one row per key, so that applying the set
gives what applying the changes one by one gives. A change for which no such row exists is refused: the
caller begins a new write with it.

A destination may skip every row at or below a mark, so a row must be right when earlier changes folded
into it were applied before. That is why a move is never extended by a later change (its old key may have
been used again below the mark): a moved row that is known in full becomes a plain row plus a delete of
its old key, one that is not is refused.

Keys that no move touches need none of this and are folded all at once, by `plain`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from attrs import Factory, define, frozen

__all__ = ["Change", "Entry", "Fate", "Folding"]

_NONE: frozenset[str] = frozenset()


class Fate(enum.Enum):
    """What became of a key within a write."""

    PUT = "put"
    DELETED = "deleted"
    #: Its base row went to another key; nothing of it is written.
    MOVED = "moved"


@frozen
class Change:
    """One row of a batch: its number, the codes of its key and old key, and what it did not send."""

    row: int
    delete: bool
    key: int
    old: int | None = None
    unchanged: frozenset[str] = _NONE


@define
class Entry:
    """The state of one key: the row whose columns it has, but for `filled` (column -> row).

    `stamp` is the row of the last change. `old` is the code of the key whose base row is read and
    removed; the entry's own row holds its columns. A DELETED entry with `of_old` deletes the old key of
    its row.
    """

    fate: Fate
    row: int
    stamp: int
    filled: Mapping[str, int] = Factory(dict)
    unchanged: frozenset[str] = _NONE
    old: int | None = None
    soft_deleted: bool = False
    of_old: bool = False

    def source(self, column: str) -> int:
        """Return the row that holds the entry's value of a column."""
        return self.filled.get(column, self.row)


class Folding:
    """The entries of one write, by key code."""

    def __init__(self, soft: bool) -> None:
        self._soft = soft
        self._claimed: set[int] = set()
        self.entries: dict[int, Entry] = {}

    def add(self, change: Change) -> bool:
        """Fold a change in; False when it can only go into a later write."""
        return self._delete(change) if change.delete else self._put(change)

    def _delete(self, change: Change) -> bool:
        entry = self.entries.get(change.key)
        if entry is not None and entry.fate is Fate.MOVED:
            return True
        if entry is not None and entry.fate is Fate.PUT and self._soft:
            return self._mark_deleted(entry, change)
        if entry is not None:
            self._release(entry)
        self.entries[change.key] = Entry(Fate.DELETED, change.row, change.row)
        return True

    def _mark_deleted(self, entry: Entry, change: Change) -> bool:
        if entry.old is not None:
            return False
        entry.soft_deleted = True
        entry.stamp = change.row
        return True

    def _put(self, change: Change) -> bool:
        moved = change.old is not None
        before = self.entries.get(change.key if change.old is None else change.old)
        overwritten = self.entries.get(change.key) if moved else None
        if not self._expressible(change, before, overwritten):
            return False
        entry = Entry(Fate.PUT, change.row, change.row, old=change.old, unchanged=change.unchanged)
        if before is not None:
            if change.unchanged:
                entry.unchanged = change.unchanged & before.unchanged
                entry.filled = {name: before.source(name) for name in change.unchanged - before.unchanged}
            self._release(before)
        if overwritten is not None:
            self._release(overwritten)
        if change.old is not None:
            self.entries[change.old] = Entry(Fate.MOVED, change.row, change.row)
            self._claimed.add(change.old)
        self.entries[change.key] = entry
        return True

    def _expressible(self, change: Change, before: Entry | None, overwritten: Entry | None) -> bool:
        """Whether a row exists that puts the change on top of what the write already says."""
        if self._soft and any(entry is not None and entry.old is not None for entry in (before, overwritten)):
            return False
        if before is None:
            return True
        if change.old is not None and (before.fate is Fate.MOVED or change.old in self._claimed):
            return False
        if change.unchanged and before.fate is not Fate.PUT:
            return False
        return before.old is None or not change.unchanged & before.unchanged

    def _release(self, entry: Entry) -> None:
        """End an entry's claim on its old key, whose base row is then deleted by a row of its own."""
        if entry.old is None:
            return
        self._claimed.discard(entry.old)
        if self.entries[entry.old].fate is Fate.MOVED:
            self.entries[entry.old] = Entry(Fate.DELETED, entry.row, entry.row, of_old=True)
