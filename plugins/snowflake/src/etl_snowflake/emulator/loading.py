"""Rows into a table, by the rules of loads: a value that does not fit its column makes its row an error.

COPY and the streaming channels both load through here.
"""

from __future__ import annotations

from dataclasses import dataclass

from etl_snowflake.emulator.catalog import Column, Table
from etl_snowflake.emulator.cursors import Cursor
from etl_snowflake.emulator.names import duck, physical
from etl_snowflake.emulator.nanos import fine_columns, fine_type, has_nanos, refine
from etl_snowflake.emulator.types import SnowType


@dataclass(frozen=True)
class Loaded:
    """How many rows there were, how many the table got, and what was wrong with the first other."""

    parsed: int
    loaded: int
    errors: int = 0
    message: str | None = None
    column: str | None = None
    position: int | None = None


@dataclass(frozen=True)
class Value:
    """Where a column's values come from: an expression over the source, its type, how bytes are written.

    `present` is what tells a NULL from a value that the expression cannot give.
    """

    expression: str
    duck: str
    binary: str = "HEX"
    present: str = ""


def load(
    cursor: Cursor,
    table: Table,
    source: str,
    values: dict[str, Value],
    *,
    also_bad: str = "FALSE",
    all_or_nothing: bool = False,
) -> Loaded:
    """Insert what fits; with `all_or_nothing`, insert nothing when a row does not fit.

    `source` is a table expression of DuckDB; `values` gives the source of each column that is not left NULL.
    """
    wanted = [column for column in table.columns if column.name in values]
    absent = [column for column in table.columns if column.name not in values]
    fine = _refined(cursor, table, source, wanted, values)
    _stage(cursor, source, wanted, absent, values, also_bad, fine)
    try:
        parsed, bad, column, position = _verdict(cursor, wanted + absent)
        if bad and all_or_nothing:
            return Loaded(parsed, 0, bad, _message(column), column, position)
        _insert(cursor, table, wanted)
        return Loaded(parsed, parsed - bad, bad, _message(column) if bad else None, column, position)
    finally:
        cursor.drop("temp.emulator_load")


def _refined(
    cursor: Cursor, table: Table, source: str, wanted: list[Column], values: dict[str, Value]
) -> set[str]:
    """Let columns have nanoseconds if their new values do, and give those that have."""
    able = [column.name for column in wanted if fine_type(column.type)]
    if not able:
        return set()
    tests = {name: has_nanos(values[name].expression, values[name].duck) for name in able}
    asked = {name: test for name, test in tests.items() if test != "FALSE"}
    if asked:
        found = cursor.one(f"SELECT {', '.join(f'bool_or({test})' for test in asked.values())} FROM {source}")
        assert found is not None
        refine(cursor, table, {name for name, needed in zip(asked, found, strict=True) if needed})
    return fine_columns(cursor, table)


def _message(column: str | None) -> str:
    return f"Value does not fit column {column}" if column else "Row refused"


def _stage(
    cursor: Cursor,
    source: str,
    wanted: list[Column],
    absent: list[Column],
    values: dict[str, Value],
    also_bad: str,
    fine: set[str],
) -> None:
    """Fill a table with values `v<n>` as they fit, and in `bad` the first column with one that does not.

    In three steps, so that each expression is written once: what was sent, as it fits, what is wrong.
    """
    sent, made, flags = [], [], []
    for n, column in enumerate(wanted):
        value = values[column.name]
        sent += [f"{value.expression} AS s{n}", f"({value.present or value.expression}) IS NOT NULL AS p{n}"]
        step = Value(f"s{n}", value.duck, value.binary)
        made.append(f"{fitted(step, column.type, fine=column.name in fine)} AS v{n}")
        flags.append(_wrong(n, column))
    flags += ["FALSE" if column.nullable or column.default is not None else "TRUE" for column in absent]
    first = " ".join(f"WHEN {flag} THEN {number}" for number, flag in enumerate(flags))
    kept = "".join(f"v{n}, " for n in range(len(wanted)))
    sent = ["row_number() OVER () AS n", f"({also_bad}) AS also_bad", *sent]
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE emulator_load AS"
        f" SELECT n, {kept}CASE WHEN also_bad THEN -1 {first} END AS bad"
        f" FROM (SELECT {', '.join(['*', *made])} FROM (SELECT {', '.join(sent)} FROM {source}))"
    )


def _wrong(n: int, column: Column) -> str:
    wrong = f"p{n} AND ({_checked(f'v{n}', column.type)})"
    return wrong if column.nullable else f"({wrong}) OR v{n} IS NULL"


def _checked(made: str, kind: SnowType) -> str:
    if kind.kind == "TEXT":
        return f"length({made}) > {kind.length}"
    if kind.kind == "BINARY":
        return f"({made}) IS NULL OR octet_length({made}) > {kind.length}"
    if kind.kind in {"VARIANT", "ARRAY"}:
        return "FALSE"
    return f"({made}) IS NULL"


def fitted(value: Value, kind: SnowType, *, fine: bool = False) -> str:
    """Write the conversion of a value to a column's type; NULL where it does not fit."""
    source, text = value.expression, value.duck == "VARCHAR"
    kept = (fine_type(kind) if fine else None) or kind.duck()
    match kind.kind:
        case "VARIANT":
            return (
                f"nullif(SF_TO_VARIANT({source}), 'null')"
                if value.duck != "JSON"
                else f"nullif({source}, 'null')"
            )
        case "ARRAY":
            return f"SF_TO_ARRAY({source})"
        case "OBJECT":
            made = f"to_json({source})"
            return f"CASE WHEN json_type({made}) = 'OBJECT' THEN {made} END"
        case "BINARY" if text and value.binary == "HEX":
            return f"TRY(unhex({source}))"
        case "BINARY" if text and value.binary == "BASE64":
            return f"TRY(from_base64({source}))"
        case "BINARY" if text:
            return f"encode({source})"
        case "TEXT" | "GEOGRAPHY":
            return f"SF_TO_VARCHAR({source})"
    return f"TRY_CAST({source} AS {kept})"


def _verdict(cursor: Cursor, columns: list[Column]) -> tuple[int, int, str | None, int | None]:
    row = cursor.one(
        "SELECT count(*), count(bad), arg_min(bad, n) FILTER (bad IS NOT NULL), "
        "min(n) FILTER (bad IS NOT NULL) FROM temp.emulator_load"
    )
    assert row is not None
    name = columns[row[2]].name if row[2] is not None and row[2] >= 0 else None
    return row[0], row[1], name, row[3]


def _insert(cursor: Cursor, table: Table, wanted: list[Column]) -> None:
    names = ", ".join(duck(physical(column.name)) for column in wanted)
    values = ", ".join(f"v{number}" for number in range(len(wanted)))
    target = f"{table.sql} ({names}) SELECT {values}" if wanted else f"{table.sql} SELECT * "
    cursor.execute(f"INSERT INTO {target} FROM temp.emulator_load WHERE bad IS NULL ORDER BY n")
