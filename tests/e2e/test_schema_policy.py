"""Every cell of the schema policy's table, from PostgreSQL to DuckDB.

One table per axis: `added` gets a column, `removed` loses one, `retyped` gets a wider one, and
`nulled` was made in DuckDB beforehand with a column that takes no NULL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.shop import Shop

pytestmark = pytest.mark.timeout(180)

TABLES = ("added", "removed", "retyped", "nulled")
BIG = 2**40


@pytest.fixture
def shop(pg: Any, tmp_path: Path) -> Shop:
    """Four tables with one row each, and the file with the table that takes no NULL."""
    for table in TABLES:
        pg.execute(f"create table {table} (id int primary key, n int)", f"insert into {table} values (1, 10)")
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("create schema public")
        connection.execute("create table public.nulled (id integer, n integer not null)")
    return Shop(pg, tmp_path)


def change(shop: Shop) -> None:
    """Change every table in its way, with rows of the new form."""
    shop.database.execute(
        "alter table added add column extra text default 'old'",
        "insert into added values (2, 20, 'new')",
        "alter table removed drop column n",
        "insert into removed values (2)",
        "alter table retyped alter column n type bigint",
        f"insert into retyped values (2, {BIG})",
        "insert into nulled values (2, null), (3, 30)",
    )


def types(shop: Shop, table: str) -> dict[str, tuple[str, bool]]:
    """Return each column's type in the file, and whether it takes NULL."""
    with duckdb.connect(str(shop.file), read_only=True) as connection:
        rows = connection.execute(f"describe public.{table}").fetchall()
    return {row[0]: (row[1], row[2] == "YES") for row in rows}


def test_evolve(shop: Shop) -> None:
    shop.write(load={"schema": "evolve"}).once()
    assert types(shop, "nulled")["n"] == ("INTEGER", True)
    change(shop)
    shop.once()
    assert shop.mirror("added") == [(1, 10, "old"), (2, 20, "new")] == shop.source("added")
    assert shop.mirror("removed") == [(1, 10), (2, None)]
    assert shop.mirror("retyped") == [(1, 10), (2, BIG)] == shop.source("retyped")
    assert types(shop, "retyped")["n"] == ("BIGINT", True)
    assert shop.mirror("nulled") == [(1, 10), (2, None), (3, 30)] == shop.source("nulled")


def test_discard(shop: Shop) -> None:
    shop.write(load={"schema": "discard", "on_error": "skip"}).once()
    change(shop)
    shop.once()
    assert shop.mirror("added") == [(1, 10), (2, 20)]
    assert shop.mirror("removed") == [(1, 10), (2, None)]
    assert shop.mirror("retyped") == [(1, 10), (2, None)]
    assert shop.mirror("nulled") == [(1, 10), (3, 30)]
    assert types(shop, "nulled")["n"] == ("INTEGER", False)
    assert types(shop, "retyped")["n"] == ("INTEGER", True)


def test_freeze_stops_before_anything_of_the_new_schema_until_the_axis_evolves(shop: Shop) -> None:
    """One axis after the other is let go; each run gets as far as the next one."""
    policy = dict.fromkeys(("new_column", "removed_column", "type_change", "nullability"), "freeze")
    assert "nullability" in shop.write(load={"schema": policy}).once(expect=1)
    policy["nullability"] = "evolve"
    shop.write(load={"schema": policy}).once()
    change(shop)
    before = {table: (types(shop, table), shop.mirror(table)) for table in TABLES[:3]}
    for table, axis in zip(TABLES, ("new_column", "removed_column", "type_change"), strict=False):
        printed = shop.once(expect=1)
        assert f"load.schema.{axis}" in printed
        assert f"public.{table}" in printed
        assert (types(shop, table), shop.mirror(table)) == before[table]
        policy[axis] = "evolve"
        shop.write(load={"schema": policy})
    shop.once()
    assert shop.mirror("added") == shop.source("added")
    assert shop.mirror("removed") == [(1, 10), (2, None)]
    assert shop.mirror("retyped") == shop.source("retyped")


def test_columns_dropped_renamed_and_back_again(shop: Shop) -> None:
    shop.write(load={"drop_columns": True}).once()
    shop.database.execute(
        "alter table removed drop column n",
        "insert into removed values (2)",
        "alter table added rename column n to m",
        "alter table added add column n int default 7",
        "insert into added values (2, 20, 5)",
        "alter table retyped drop column n",
        "alter table retyped add column n text default 'again'",
        "insert into retyped values (2, 'x')",
    )
    shop.once()
    assert list(types(shop, "removed")) == ["id"]
    assert shop.mirror("added") == [(1, 10, 7), (2, 20, 5)] == shop.source("added")
    assert shop.mirror("retyped") == [(1, "again"), (2, "x")] == shop.source("retyped")


def test_a_history_keeps_what_was(shop: Shop) -> None:
    shop.file.unlink()
    shop.load = "append"
    shop.write().once()
    change(shop)
    shop.once()
    with duckdb.connect(str(shop.file), read_only=True) as connection:

        def rows(table: str, columns: str) -> list[tuple[Any, ...]]:
            return connection.execute(f"select {columns} from public.{table} order by _etl_seq").fetchall()

        assert rows("added", "_etl_op, id, n, extra") == [("r", 1, 10, None), ("i", 2, 20, "new")]
        assert rows("removed", "_etl_op, id, n") == [("r", 1, 10), ("i", 2, None)]
        assert rows("retyped", "_etl_op, id, n") == [("r", 1, 10), ("i", 2, BIG)]
