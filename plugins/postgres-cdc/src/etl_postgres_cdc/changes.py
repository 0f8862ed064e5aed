"""Schema changes between two lists of columns of one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from etl_core import AddColumn, Change, DropColumn, RenameColumn, WidenColumn
from etl_pglib.types import TypeCatalog
from etl_postgres_cdc.catalog import Attribute
from etl_postgres_cdc.position import Column

__all__ = ["differences"]

_BOOL, _INT2, _INT4, _INT8, _TEXT, _FLOAT4, _FLOAT8 = 16, 21, 23, 20, 25, 700, 701
_VARCHAR, _NUMERIC = 1043, 1700
#: Type changes that keep every value, whatever the modifiers.
_KEEPING = frozenset(
    {
        (_INT2, _INT4),
        (_INT2, _INT8),
        (_INT4, _INT8),
        (_FLOAT4, _FLOAT8),
        (_VARCHAR, _TEXT),
        (_TEXT, _TEXT),
    }
)
_HEADER = 4


def differences(
    before: Sequence[Column],
    after: Sequence[Column],
    attributes: Sequence[Attribute],
    types: TypeCatalog,
) -> tuple[Change, ...]:
    """Return what leads from `before` to `after`, in an order in which it can be applied.

    Empty when only things changed that Arrow does not show and that leave all values as they are.
    """
    old = {column.number: column for column in before}
    new = {column.number: column for column in after}
    kept = [(old[n], new[n]) for n in new if n in old]
    entries = {attribute.number: attribute for attribute in attributes}
    return (
        *(DropColumn(column.name) for n, column in old.items() if n not in new),
        *_renames({a.name: b.name for a, b in kept if a.name != b.name}),
        *(change for a, b in kept if (change := _widened(a, b, types))),
        *(_added(column, entries.get(n), types) for n, column in new.items() if n not in old),
    )


def _renames(names: Mapping[str, str]) -> list[RenameColumn]:
    """Order renames so that no target is taken; a circle is opened with a name of its own."""
    left = dict(names)
    renames: list[RenameColumn] = []
    while left:
        free = next((old for old, new in left.items() if new not in left), None)
        if free is None:
            free = next(iter(left))
            spare = f"{free}__renaming"
            renames.append(RenameColumn(free, spare))
            left[spare] = left.pop(free)
        else:
            renames.append(RenameColumn(free, left.pop(free)))
    return renames


def _widened(old: Column, new: Column, types: TypeCatalog) -> WidenColumn | None:
    if (old.oid, old.typmod) == (new.oid, new.typmod):
        return None
    before, after = types.resolve(old.oid, old.typmod), types.resolve(new.oid, new.typmod)
    rewrites = not _keeps_values(old, new)
    if before.arrow == after.arrow and not rewrites:
        return None
    return WidenColumn(new.name, after.arrow, rewrites)


def _keeps_values(old: Column, new: Column) -> bool:
    """Say whether the change leaves every value as it prints; a USING clause cannot be seen."""
    if (old.oid, new.oid) in _KEEPING:
        return True
    if old.oid != new.oid:
        return False
    if old.oid == _VARCHAR:
        return new.typmod < 0 or 0 <= old.typmod <= new.typmod
    return old.oid == _NUMERIC and _numeric_grows(old.typmod, new.typmod)


def _numeric_grows(old: int, new: int) -> bool:
    """Digits before the point may be added; more after it change how values print, not what they are."""
    if old < 0 or new < 0:
        return False
    (precision, scale), (wider, finer) = _numeric(old), _numeric(new)
    return finer >= scale and wider - finer >= precision - scale


def _numeric(typmod: int) -> tuple[int, int]:
    scale = (typmod - _HEADER & 0x7FF ^ 0x400) - 0x400
    return (typmod - _HEADER) >> 16 & 0xFFFF, scale


def _added(column: Column, entry: Attribute | None, types: TypeCatalog) -> AddColumn:
    kind = types.resolve(column.oid, column.typmod)
    if entry is None:
        return AddColumn(column.name, kind.arrow)
    if entry.missing is not None and (entry.oid, entry.typmod) == (column.oid, column.typmod):
        return AddColumn(column.name, kind.arrow, kind.parse([entry.missing], column.name)[0].as_py())
    return AddColumn(column.name, kind.arrow, rewrites=entry.filled or entry.missing is not None)
