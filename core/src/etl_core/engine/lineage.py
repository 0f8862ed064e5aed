"""What becomes of the marks of columns a source did not send when transforms make others of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import pyarrow as pa
from attrs import frozen

from etl_core.errors import SchemaError
from etl_core.model import Stream

__all__ = ["Lineage", "Marks", "same_values"]

#: For each row the names of its columns that were not sent; None when every row has them all.
Marks = Sequence[frozenset[str]] | None

_HINT = "set REPLICA IDENTITY FULL on the table, or declare the transform's `inputs`"


@frozen
class Lineage:
    """What one transform declares for one stream; `inputs` as `Transform.inputs` returns it.

    `strict` (under a mirror) refuses what would be computed from a value that is not there.
    """

    name: str
    stream: Stream
    inputs: Mapping[str | None, Sequence[str]] | None
    strict: bool

    def carry(self, marks: Marks, before: pa.RecordBatch, after: pa.RecordBatch) -> Marks:
        """Return the marks of `after`, row by row made from `before` and its `marks`.

        A column whose declared inputs include a marked one is marked, one that passed through keeps its
        mark. Raises SchemaError for a column of which neither is known, on a marked row.
        """
        if marks is None or not any(marks):
            return None
        sources = {name: self._sources(name, before, after) for name in after.schema.names}
        carried: dict[frozenset[str], frozenset[str]] = {}
        for mark in set(marks):
            carried[mark] = frozenset(name for name, inputs in sources.items() if mark & inputs)
        return [carried[mark] for mark in marks]

    def check_dropped(self, marks: Marks, dropped: Sequence[int]) -> None:
        """Raise SchemaError when a row was dropped for a value that was not sent, or may have been."""
        if marks is None or not self.strict:
            return
        deciding = (self.inputs or {}).get(None)
        for row in dropped:
            if marks[row] and (deciding is None or not marks[row].isdisjoint(deciding)):
                raise self._error("a row was dropped though a value it depends on was not sent", None)

    def _sources(self, name: str, before: pa.RecordBatch, after: pa.RecordBatch) -> AbstractSet[str]:
        """Return the input columns whose marks a column takes over."""
        if self.inputs is not None and name in self.inputs:
            return frozenset(self.inputs[name])
        there = name in before.schema.names
        untouched = there and (
            self.inputs is not None or same_values(before.column(name), after.column(name))
        )
        if self.strict and not untouched:
            raise self._error("a column was changed on a row whose values were not all sent", name)
        return frozenset([name])

    def _error(self, message: str, column: str | None) -> SchemaError:
        return SchemaError(message, _HINT, stream=str(self.stream), transform=self.name, column=column)


def same_values(one: pa.Array, other: pa.Array) -> bool:
    """Whether two columns hold the same; at once when they are the same memory."""
    if one.type != other.type or len(one) != len(other):
        return False
    return _memory(one) == _memory(other) or bool(one.equals(other))


def _memory(column: pa.Array) -> tuple[object, ...]:
    return (column.offset, *(buffer and buffer.address for buffer in column.buffers()))
