"""Tables as they are in the account, and the columns that landing and staging tables have for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from attrs import frozen

from etl_core import COMMIT_TS, OLD_KEY, OP, RESERVED, SEQ, UNCHANGED, TableSchema
from etl_snowflake import sql
from etl_snowflake.client import Session
from etl_snowflake.control import Kept
from etl_snowflake.names import Names
from etl_snowflake.types import described, same_column, sql_type

__all__ = [
    "Column",
    "find",
    "find_all",
    "is_history",
    "landing_columns",
    "read_columns",
    "schema_of",
    "staging_columns",
]

#: Reserved columns as a landing table has them.
_RESERVED = {
    OP: "VARCHAR(1)",
    SEQ: "VARCHAR(40)",
    COMMIT_TS: "TIMESTAMP_TZ(9)",
    UNCHANGED: "ARRAY",
    OLD_KEY: "OBJECT",
}
#: In a staging table of a mirror: the order in which rows came.
ORDER = "_ETL_N"


@frozen
class Column:
    """A column as INFORMATION_SCHEMA tells of it."""

    name: str
    kind: str
    precision: int | None
    scale: int | None
    nullable: bool

    def arrow(self) -> pa.DataType:
        """Return the Arrow type as which it would read back if nobody knew better."""
        return described(self.kind, self.precision, self.scale)

    def holds(self, type: pa.DataType) -> bool:
        """Whether it is what an Arrow type becomes."""
        return same_column(type, self.kind, self.precision, self.scale)


def find(session: Session, names: Names, schema: str, table: str) -> dict[str, Column]:
    """Return the columns of a table, by their exact names, in order; none when there is no such table."""
    return find_all(session, names, [(schema, table)]).get((schema, table), {})


def find_all(
    session: Session, names: Names, places: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, Column]]:
    """Return the columns of those tables that there are, in the order of `places`, with one question."""
    found: dict[tuple[str, str], dict[str, Column]] = {place: {} for place in places}
    for schema, table, name, kind, *digits, null in session.execute(*sql.columns_of(names, places)):
        precision, scale = (None if each is None else int(each) for each in digits)
        found[schema, table][name] = Column(name, kind, precision, scale, null == "YES")
    return {place: columns for place, columns in found.items() if columns}


def schema_of(names: Names, kept: Kept | None, found: Mapping[str, Column]) -> pa.Schema:
    """Return a table's columns as they read back: as they were made, where they still are that.

    Names are the source's where they are known.
    """
    known = {names.fold(field.name): field for field in kept.columns} if kept else {}
    fields = []
    for column in found.values():
        field = known.get(column.name)
        same = field is not None and column.holds(field.type)
        kind = field.type if field is not None and same else column.arrow()
        fields.append(pa.field(field.name if field is not None else column.name, kind, column.nullable))
    return pa.schema(fields)


def is_history(table: TableSchema | Kept) -> bool:
    """Whether a table holds every change, with its reserved columns."""
    if isinstance(table, Kept):
        return OP in table.control
    return table.control is not None and OP in table.control.names


def read_columns(names: Names, kept: Kept) -> dict[str, str]:
    """Return the target's columns by their exact names, with their SQL types."""
    return {names.fold(field.name): sql_type(field.type) for field in kept.columns}


def landing_columns(names: Names, kept: Kept) -> dict[str, str]:
    """Return the columns of a stream's landing table: the source's, `_etl_deleted`, and the reserved ones."""
    ours = {names.fold(name): kind for name, kind in _RESERVED.items()}
    return {**{n: kind for n, kind in read_columns(names, kept).items() if n not in ours}, **ours}


def staging_columns(names: Names, kept: Kept) -> dict[str, str]:
    """Return the columns of a staging table: the target's, and in a mirror the order of rows."""
    columns = read_columns(names, kept)
    return columns if is_history(kept) else {**columns, ORDER: "NUMBER(19,0)"}


assert tuple(_RESERVED) == RESERVED
