"""Tables of others with columns that take no NULL: they say so, and take NULL when asked to."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from etl_core import Stream, TableSchema, WidenColumn

ORDERS = Stream("shop", "orders")


@pytest.mark.parametrize(("type", "sql"), [(pa.int32(), "INTEGER"), (pa.int64(), "BIGINT")], ids=str)
def test_a_column_takes_nulls_when_asked_to_also_while_it_is_widened(
    duck: Any, type: pa.DataType, sql: str
) -> None:
    db = duck.destination._db()
    db.run("CREATE SCHEMA shop")
    db.run("CREATE TABLE shop.Orders (id INTEGER, N INTEGER NOT NULL)")
    db.run("INSERT INTO shop.orders VALUES (1, 10)")
    found = duck.destination.table(ORDERS).columns
    assert [field.nullable for field in found] == [True, False]
    wanted = TableSchema(ORDERS, pa.schema([("id", pa.int32()), ("n", type)]), ("id",))
    duck.destination.ensure(wanted, [WidenColumn("n", type, nulls=True)])
    db.run("INSERT INTO shop.orders VALUES (2, NULL)")
    assert db.rows("SELECT id, n FROM shop.orders ORDER BY id") == [(1, 10), (2, None)]
    assert duck.destination.table(ORDERS).columns.field("N") == pa.field("N", type)
    assert db.rows("SELECT data_type FROM duckdb_columns() WHERE column_name = 'N'") == [(sql,)]
