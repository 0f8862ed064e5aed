"""Folds the changes of keys that rows moved between, one by one.

A row that moves to a key which no other change of the batch is about, from one of which the same is true,
links nothing: it is folded like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.loaders.changes import Changes
from etl_core.loaders.folding import Change, Entry, Fate, Folding
from etl_core.loaders.kept import Kept
from etl_core.loaders.keys import KeyCodes
from etl_core.loaders.marks import Marks
from etl_core.loaders.positions import last_places, numbers

__all__ = ["fold_linked", "linked_codes"]

_NONE: frozenset[str] = frozenset()


def linked_codes(changes: Changes, codes: KeyCodes) -> pa.Array:
    """Return the codes of the keys whose changes depend on other keys, or contradict each other."""
    return pa.concat_arrays([_moved_and_used(codes), _updated_though_deleted(changes)])


def _moved_and_used(codes: KeyCodes) -> pa.Array:
    if not len(codes.moves):
        return codes.old
    repeated = last_places(codes.repeated, codes.bound)
    new = codes.keys.take(codes.moves)
    used = pc.or_(repeated(new).is_valid(), repeated(codes.old).is_valid())
    return pa.concat_arrays([new.filter(used), codes.old.filter(used)])


def _updated_though_deleted(changes: Changes) -> pa.Array:
    """Return the codes of keys that have a change with unsent columns right after a delete.

    No source should send that, but one that repeats itself may.
    """
    none = changes.codes.slice(0, 0)
    if not changes.marks or not pc.any(changes.deletes).as_py():
        return none
    partial = reduce(pc.or_, changes.marks.values())
    deleted = last_places(changes.codes.filter(changes.deletes), changes.bound)
    suspects = changes.codes.filter(pc.and_(partial, deleted(changes.codes).is_valid()))
    among = last_places(suspects, changes.bound)(changes.codes).is_valid()
    return _right_after(*(array.filter(among) for array in (changes.codes, changes.deletes, partial)))


def _right_after(codes: pa.Array, first: pa.Array, then: pa.Array) -> pa.Array:
    """Return the codes of which a row with `then` comes next after one with `first`."""
    order = pc.sort_indices(codes)
    before, after = order.slice(0, max(len(order) - 1, 0)), order.slice(1)
    same = pc.equal(codes.take(before), codes.take(after))
    found = pc.and_(same, pc.and_(first.take(before), then.take(after)))
    return codes.take(after).filter(found)


def fold_linked(changes: Changes, codes: KeyCodes, soft: bool) -> tuple[Kept, Sequence[int]]:
    """Return what is kept, and the rows that each begin a new write."""
    foldings, cuts = [Folding(soft)], []
    for change in _one_by_one(changes, codes):
        if not foldings[-1].add(change):
            cuts.append(change.row)
            foldings.append(Folding(soft))
            foldings[-1].add(change)
    entries = [entry for folding in foldings for entry in folding.entries.values()]
    return _kept([entry for entry in entries if entry.fate is not Fate.MOVED]), cuts


def _one_by_one(changes: Changes, codes: KeyCodes) -> Iterator[Change]:
    old = dict(zip(codes.moves.to_pylist(), codes.old.to_pylist(), strict=True))
    unsent = _unsent(changes.marks)
    arrays = (changes.rows, changes.deletes, changes.codes)
    for place, (row, delete, code) in enumerate(zip(*(a.to_pylist() for a in arrays), strict=True)):
        yield Change(row, delete, code, old.get(row), unsent.get(place, _NONE))


def _unsent(marks: Marks) -> dict[int, frozenset[str]]:
    names = defaultdict(set)
    for name, mask in marks.items():
        for place in pc.indices_nonzero(mask).to_pylist():
            names[place].add(name)
    return {place: frozenset(found) for place, found in names.items()}


def _kept(entries: Sequence[Entry]) -> Kept:
    entries = sorted(entries, key=lambda entry: entry.stamp)
    return Kept(
        rows=pa.array([entry.row for entry in entries], pa.int32()),
        stamps=pa.array([entry.stamp for entry in entries], pa.int32()),
        of_old=pa.array([entry.of_old for entry in entries], pa.bool_()),
        deleted=pa.array([e.soft_deleted or e.fate is Fate.DELETED for e in entries], pa.bool_()),
        filled=_filled(entries),
        unsent=_still_unsent(entries),
    )


def _filled(entries: Sequence[Entry]) -> dict[str, pa.Array]:
    pairs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for place, entry in enumerate(entries):
        for name, row in entry.filled.items():
            pairs[name].append((place, row))
    return {name: _spread(found, len(entries)) for name, found in pairs.items()}


def _spread(pairs: Sequence[tuple[int, int]], count: int) -> pa.Array:
    """Return an array of `count` items that has each pair's second at the place that is its first."""
    at, values = (pa.array(items, pa.int32()) for items in zip(*pairs, strict=True))
    return values.take(last_places(at, count)(numbers(count)))


def _still_unsent(entries: Sequence[Entry]) -> dict[str, pa.Array]:
    names = {name for entry in entries for name in entry.unchanged}
    return {name: pa.array([name in entry.unchanged for entry in entries], pa.bool_()) for name in names}
