"""A transform's answer, held to its contract: which rows are there, from which rows they came."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa
from attrs import frozen

from etl_core.engine.lineage import same_values
from etl_core.errors import PluginError
from etl_core.model import Transformed

__all__ = ["Answer", "Refusal"]

#: Rows refused through `ctx.reject`: their indices, a code, a column.
Refusal = tuple[Sequence[int], str, str | None]


@frozen
class Answer:
    """What a transform made of `count` rows.

    `origin` holds the input row of each output row (None: each its own), `refused` and `dropped` the
    input rows that gave none.
    """

    rows: pa.RecordBatch
    origin: Sequence[int] | None
    refused: Sequence[Refusal]
    dropped: Sequence[int]

    @classmethod
    def of(
        cls, name: str, given: object, count: int, refusals: Sequence[Refusal], *, one_to_one: bool
    ) -> Answer:
        """Verify and complete what `apply` returned. Raises PluginError naming the transform."""
        refused = _once(name, refusals, count)
        gone = {row for rows, _, _ in refused for row in rows}
        if isinstance(given, pa.RecordBatch):
            kept = [row for row in range(count) if row not in gone] if gone else None
            if given.num_rows != count - len(gone):
                raise _broken(name, "a transform returned another number of rows", _COUNT)
            return cls(given, kept, refused, ())
        if not isinstance(given, Transformed):
            raise _broken(name, "a transform returned something else than rows", _COUNT)
        origin = given.origin.to_pylist() if isinstance(given.origin, pa.Array) else list(given.origin)
        _check_origin(name, origin, given.rows.num_rows, count, gone, one_to_one)
        if len(set(origin)) == len(origin) == count:
            return cls(given.rows, None, refused, ())
        kept_or_gone = gone.union(origin)
        dropped = [row for row in range(count) if row not in kept_or_gone]
        return cls(given.rows, origin, refused, dropped)

    def check_columns(self, name: str, wanted: pa.Schema) -> None:
        """Raise PluginError when the columns are not those that `schema` promised."""
        found = self.rows.schema
        if found.names != wanted.names or found.types != wanted.types:
            raise PluginError(
                "a transform returned other columns than its schema says",
                "`schema` and `apply` of the transform must agree on names, types and order",
                transform=name,
                found=_columns(found),
                wanted=_columns(wanted),
            )

    def check_keys(self, name: str, before: pa.RecordBatch, key: Sequence[str]) -> None:
        """Raise PluginError when a key column holds other values than before."""
        for column in key:
            if not same_values(before.column(column), self.rows.column(column)):
                raise PluginError(
                    "a transform changed a key column",
                    "set `maps_keys` on the transform: then deletes and key changes are mapped as well",
                    transform=name,
                    column=column,
                )


_COUNT = "return one row per input row less rejected ones, or Transformed(rows, origin)"
_ORIGIN = "`origin` holds the input row of each output row, in ascending order, without rejected ones"


def _broken(name: str, message: str, hint: str) -> PluginError:
    return PluginError(message, hint, transform=name)


def _once(name: str, refusals: Sequence[Refusal], count: int) -> Sequence[Refusal]:
    """Return the refusals with each row in one of them."""
    seen: set[int] = set()
    found: list[Refusal] = []
    for indices, code, column in refusals:
        rows = sorted({int(row) for row in indices} - seen)
        if rows and not (rows[0] >= 0 and rows[-1] < count):
            raise _broken(name, "a transform rejected a row that it was not given", _ORIGIN)
        seen.update(rows)
        if rows:
            found.append((rows, code, column))
    return found


def _check_origin(
    name: str, origin: Sequence[int], rows: int, count: int, gone: set[int], one_to_one: bool
) -> None:
    if len(origin) != rows or any(not 0 <= row < count or row in gone for row in origin):
        raise _broken(name, "a transform returned an origin that does not fit its rows", _ORIGIN)
    if any(later < earlier for earlier, later in pairwise(origin)):
        raise _broken(name, "a transform changed the order of rows", _ORIGIN)
    if one_to_one and len(set(origin)) < len(origin):
        raise _broken(
            name,
            "a transform made several rows of one, which a mirror has no place for",
            "use load: append, or a transform that makes at most one row of each",
        )


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
