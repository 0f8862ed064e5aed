"""The statements of a merge: per window one atomic MERGE, what it has to leave out, and what it clears.

A window is merged as a set, as a Write is: the rows of all keys and old keys are read, then removed, then the
rows are put.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from attrs import frozen

from etl_core import DELETED, OLD_KEY, OP, SEQ, UNCHANGED
from etl_snowflake.kept import Kept
from etl_snowflake.names import Names, literal
from etl_snowflake.types import from_json, is_semi, named, sql_type

__all__ = ["Merge"]

#: What becomes of a row: put, or removed.
_ACT = "_ETL_ACT"


@frozen
class Merge:
    """The statements that merge a stream. `soft`: `d` rows mark the row instead of removing it."""

    names: Names
    kept: Kept

    @property
    def soft(self) -> bool:
        return DELETED in self.kept.control

    @property
    def landing(self) -> str:
        return self.names.ours(self.kept.landing)

    @property
    def target(self) -> str:
        return self.kept.target(self.names)

    def statement(self, *, partial: bool, low: str = "?", high: str = "?") -> str:
        """Return the MERGE of the rows above `low` up to `high` (SQL)."""
        source = self._partial(low, high) if partial else self._whole(low, high)
        act = f's."{_ACT}"'
        clauses = [f"WHEN MATCHED AND {act} = 'd' THEN DELETE"]
        if not partial and self.soft:
            clauses = [f"WHEN MATCHED AND {act} = 'd' THEN UPDATE SET {self._assigned(self._ours())}"]
        if rest := [field for field in self.kept.columns if field.name not in self.kept.key]:
            clauses.append(f"WHEN MATCHED THEN UPDATE SET {self._assigned(rest)}")
        names = self.names.columns(self.kept.columns.names)
        values = ", ".join(f"s.{self.names.column(name)}" for name in self.kept.columns.names)
        clauses.append(f"WHEN NOT MATCHED AND {act} <> 'd' THEN INSERT ({names}) VALUES ({values})")
        on = self._same("t", "s")
        return f"MERGE INTO {self.target} AS t\nUSING (\n{source}\n) AS s\nON {on}\n" + "\n".join(clauses)

    def lacking(self) -> str:
        """Return the query of the rows of a window that build on a row that is not there."""
        first = self.names.column(self.kept.key[0])
        return (
            f"{self._rows('?', '?')} SELECT n.* FROM n LEFT JOIN {self.target} AS b ON {self._base()}"
            f" WHERE {self._reserved(OP)} <> 'd' AND COALESCE(ARRAY_SIZE({self._reserved(UNCHANGED)}), 0) > 0"
            f" AND b.{first} IS NULL ORDER BY {self._reserved(SEQ)}"
        )

    def discard(self, count: int) -> str:
        """Return the DELETE of landed rows with any of so many seqs."""
        marks = ", ".join("?" for _ in range(count))
        return f"DELETE FROM {self.landing} WHERE {self.names.column(SEQ)} IN ({marks})"

    def clear(self, high: str = "?") -> str:
        """Return the DELETE of the landed rows up to `high`."""
        return f"DELETE FROM {self.landing} WHERE {self.names.column(SEQ)} <= {high}"

    def _rows(self, low: str, high: str) -> str:
        """Return the beginning of a query: `l` are the landed rows, `n` the last of each key."""
        seq = self.names.column(SEQ)
        landed = f"SELECT * FROM {self.landing} WHERE {seq} > {low} AND {seq} <= {high}"
        return f"WITH l AS ({landed}),\nn AS (SELECT * FROM l{self._last()})"

    def _last(self) -> str:
        keys = ", ".join(f"l.{self.names.column(name)}" for name in self.kept.key)
        seq = f"l.{self.names.column(SEQ)}"
        return f" QUALIFY ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {seq} DESC) = 1"

    def _whole(self, low: str, high: str) -> str:
        """Return the source of rows that came whole."""
        if self.soft:
            return self._whole_or_marked(low, high)
        columns = ", ".join(self._column(field) for field in self.kept.columns)
        return f'{self._rows(low, high)}\nSELECT {columns}, {self._reserved(OP)} AS "{_ACT}" FROM n'

    def _whole_or_marked(self, low: str, high: str) -> str:
        """Return the source of whole rows of which deleted ones stay: as they were put last, if they were."""
        ours = {*self.kept.key, *self.kept.control}
        columns = ", ".join(
            self._column(field, "n" if field.name in ours else "p") for field in self.kept.columns
        )
        puts = f"SELECT * FROM l WHERE l.{self.names.column(OP)} <> 'd'{self._last()}"
        first = self.names.column(self.kept.key[0])
        return (
            f"{self._rows(low, high)},\np AS ({puts})\n"
            f"SELECT {columns}, CASE WHEN p.{first} IS NULL THEN 'd' ELSE 'u' END AS \"{_ACT}\""
            f" FROM n LEFT JOIN p ON {self._same('n', 'p')}"
        )

    def _partial(self, low: str, high: str) -> str:
        """Return the source of rows that are completed from those of their old keys, else of their keys.

        What is at an old key that no row puts is removed.
        """
        columns = ", ".join(self._completed(field) for field in self.kept.columns)
        first = self.names.column(self.kept.key[0])
        act = self._reserved(OP)
        if self.soft:
            act = f"CASE WHEN {act} = 'd' AND b.{first} IS NULL THEN 'd' ELSE 'u' END"
        old = self._old_keys()
        columns_gone = ", ".join(self._gone(field) for field in self.kept.columns)
        old_columns = ", ".join(f"{old[name]} AS {self.names.column(name)}" for name in self.kept.key)
        return (
            f"{self._rows(low, high)},\n"
            f"m AS (SELECT DISTINCT {old_columns} FROM n WHERE {self._moved()})\n"
            f'SELECT {columns}, {act} AS "{_ACT}" FROM n LEFT JOIN {self.target} AS b ON {self._base()}\n'
            "UNION ALL\n"
            f"SELECT {columns_gone}, 'd' AS \"{_ACT}\" FROM m LEFT JOIN n ON {self._same('n', 'm')}"
            f" WHERE n.{first} IS NULL"
        )

    def _moved(self) -> str:
        return f"{self._reserved(OLD_KEY)} IS NOT NULL"

    def _old_keys(self) -> dict[str, str]:
        """Return the SQL of the values of an old key."""
        return {
            name: from_json(
                f"GET({self._reserved(OLD_KEY)}, {literal(name)})", self.kept.columns.field(name).type
            )
            for name in self.kept.key
        }

    def _base(self) -> str:
        """Return the join of a row with the row that it builds on."""
        return " AND ".join(
            f"b.{self.names.column(name)} ="
            f" CASE WHEN {self._moved()} THEN {old} ELSE n.{self.names.column(name)} END"
            for name, old in self._old_keys().items()
        )

    def _same(self, one: str, other: str) -> str:
        return " AND ".join(
            f"{one}.{self.names.column(name)} = {other}.{self.names.column(name)}" for name in self.kept.key
        )

    def _ours(self) -> list[pa.Field]:
        """Return the control columns, which come with every row, also with `d`."""
        return [field for field in self.kept.columns if field.name in self.kept.control]

    def _assigned(self, fields: Sequence[pa.Field]) -> str:
        columns = [self.names.column(field.name) for field in fields]
        return ", ".join(f"{column} = s.{column}" for column in columns)

    def _reserved(self, name: str) -> str:
        return f"n.{self.names.column(name)}"

    def _value(self, field: pa.Field, alias: str = "n") -> str:
        """Return the SQL of a landed value in the type of the target's column."""
        column = f"{alias}.{self.names.column(field.name)}"
        if field.name == SEQ:
            return f"TO_BINARY({column}, 'HEX')"
        return f"{column}::{sql_type(field.type)}" if is_semi(field.type) else column

    def _column(self, field: pa.Field, alias: str = "n") -> str:
        return f"{self._value(field, alias)} AS {self.names.column(field.name)}"

    def _completed(self, field: pa.Field) -> str:
        """Return the value that a column of a row ends with."""
        if field.name in self.kept.key or field.name in self.kept.control:
            return self._column(field)
        column = self.names.column(field.name)
        kept = f"ARRAY_CONTAINS({named(field.name)}, {self._reserved(UNCHANGED)})"
        if self.soft:
            kept = f"{self._reserved(OP)} = 'd' OR {kept}"
        return f"CASE WHEN {kept} THEN b.{column} ELSE {self._value(field)} END AS {column}"

    def _gone(self, field: pa.Field) -> str:
        """Return a column of the row that removes what is at an old key."""
        column = self.names.column(field.name)
        value = f"m.{column}" if field.name in self.kept.key else f"NULL::{sql_type(field.type)}"
        return f"{value} AS {column}"
