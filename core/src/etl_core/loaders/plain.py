"""Folds the changes of keys that no row came from or went to: all at once, without looking at single rows."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.loaders.changes import Changes
from etl_core.loaders.kept import Kept
from etl_core.loaders.positions import last_places, numbers, places

__all__ = ["fold_plain"]

_FALSE = pa.scalar(False, pa.bool_())
_NO_ROW = pa.scalar(None, pa.int32())


def fold_plain(changes: Changes, soft: bool) -> Kept:
    """Keep the last change of each key, filled from the key's earlier ones.

    No change with unsent columns may come right after a delete of its key. That makes the last change that
    sent a column the one to fill from: a delete is followed by a change that sent all.
    """
    ends = _last_of_each(changes)
    sources = _last_puts(changes, ends) if soft else ends
    kept = Kept(
        rows=changes.rows.take(sources),
        stamps=changes.rows.take(ends),
        of_old=pa.repeat(_FALSE, len(ends)),
        deleted=changes.deletes.take(ends),
    )
    for name, mask in changes.marks.items():
        _fill(kept, name, changes, ends, mask.take(sources))
    return kept


def _last_of_each(changes: Changes) -> pa.Array:
    last = last_places(changes.codes, changes.bound)
    return places(pc.equal(last(changes.codes), numbers(len(changes))))


def _last_puts(changes: Changes, ends: pa.Array) -> pa.Array:
    """Return the place of the last row that is no delete for each key; the last delete where all are."""
    if not pc.any(changes.deletes).as_py():
        return ends
    return pc.coalesce(_last_where(pc.invert(changes.deletes), changes, ends), ends)


def _fill(kept: Kept, name: str, changes: Changes, ends: pa.Array, missing: pa.Array) -> None:
    if not pc.any(missing).as_py():
        return
    sent = pc.invert(pc.or_(changes.marks[name], changes.deletes))
    found = pc.if_else(missing, _last_where(sent, changes, ends), _NO_ROW)
    kept.filled[name] = changes.rows.take(found)
    kept.unsent[name] = pc.and_(missing, found.is_null())


def _last_where(mask: pa.Array, changes: Changes, ends: pa.Array) -> pa.Array:
    """Return the place of the last change for which the mask is true, of the key of each end."""
    among = places(mask)
    last = last_places(changes.codes.take(among), changes.bound)
    return among.take(last(changes.codes.take(ends)))
