"""A snapshot's table takes the place of the mirror where that loses nothing; else its rows are copied."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pytest

from etl_core import AddColumn, Mode, Step, Stream

ORDERS = Stream("shop", "orders")
SCHEMA = pa.schema([("id", pa.int64()), ("note", pa.string())])
OID = "SELECT table_oid FROM duckdb_tables() WHERE schema_name = 'shop' AND table_name "


def made(duck: Any, definition: str, *more: str) -> Any:
    """Return a destination whose table others made, with an old row in it, durable."""
    db = duck.destination._db()
    for sql in ("CREATE SCHEMA shop", f"CREATE TABLE shop.Orders ({definition})", *more):
        db.run(sql)
    duck.ensure(SCHEMA, ["id"])
    duck.merge({"id": 0, "note": "old"})
    duck.flush()
    return duck


def snapshot(duck: Any, *ids: int, mode: Mode = Mode.MERGE) -> bool:
    """Write and end a snapshot; say whether its table is the stream's now."""
    duck.write(mode, step=Step.BEGIN)
    rows = duck.rows([{"id": each, "note": "new", "_etl_op": "r"} for each in ids])
    duck.write(mode, rows if mode is Mode.MERGE else rows.select(SCHEMA.names), Step.ROWS)
    staged = duck.pending(f"{OID} LIKE '\\_etl staged %' ESCAPE '\\'")
    duck.write(mode, step=Step.END)
    return bool(duck.pending(f"{OID} ILIKE 'orders'") == staged)


PLAIN = "id BIGINT, note VARCHAR"


@pytest.mark.parametrize(
    ("definition", "more"),
    [
        ("id BIGINT NOT NULL, note VARCHAR", ()),
        ("id BIGINT PRIMARY KEY, note VARCHAR", ()),
        ("id BIGINT UNIQUE, note VARCHAR", ()),
        ("id BIGINT, note VARCHAR DEFAULT 'none'", ()),
        ("id BIGINT CHECK (id >= 0), note VARCHAR", ()),
        ("id BIGINT, note VARCHAR USING COMPRESSION ZSTD", ()),
        (PLAIN, ("CREATE INDEX mine ON shop.orders (note)",)),
        (PLAIN, ("COMMENT ON TABLE shop.orders IS 'mine'",)),
        (PLAIN, ("COMMENT ON COLUMN shop.orders.note IS 'mine'",)),
        (
            PLAIN,
            (
                "CREATE TABLE log (n BIGINT)",
                "CREATE TRIGGER x AFTER INSERT ON shop.orders FOR EACH ROW INSERT INTO log VALUES (NEW.id)",
            ),
        ),
    ],
)
def test_what_others_gave_the_table_stays(duck: Any, definition: str, more: tuple[str, ...]) -> None:
    made(duck, definition, *more)
    before = duck.pending(EVERYTHING)
    assert not snapshot(duck, 1, 2)
    assert duck.pending("SELECT id, note FROM shop.orders ORDER BY id") == [(1, "new"), (2, "new")]
    assert duck.pending(EVERYTHING) == before


EVERYTHING = """
SELECT sql, comment, index_count, (SELECT list(comment ORDER BY column_index) FROM duckdb_columns() AS c
  WHERE c.table_oid = t.table_oid), (SELECT count(*) FROM duckdb_triggers())
FROM duckdb_tables() AS t WHERE schema_name = 'shop'
"""


def test_a_table_with_nothing_of_others_is_replaced_under_its_name(duck: Any) -> None:
    made(duck, PLAIN, "CREATE VIEW shop.seen AS SELECT note FROM shop.orders")
    assert snapshot(duck, 1, 1, 2)
    duck.flush()
    assert duck.query() == [(1, "new"), (2, "new")]
    assert duck.query("FROM shop.seen") == [("new",), ("new",)]
    assert duck.query("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'shop'") == [("Orders",)]
    assert duck.destination.table(ORDERS).key == ("id",)
    assert not duck.merge({"id": 1, "note": "merged"}, {"id": 3, "note": "merged"})
    duck.flush()
    duck.close()
    duck.open()
    assert duck.query() == [(1, "merged"), (2, "new"), (3, "merged")]


def test_changes_of_the_same_transaction_are_replaced_too(duck: Any) -> None:
    made(duck, PLAIN)
    duck.merge({"id": 7, "note": "merged"})
    wider = SCHEMA.append(pa.field("n", pa.int32()))
    duck.ensure(wider, ["id"], [AddColumn("n", pa.int32(), 7)], seq=b"1" * 20)
    assert snapshot(duck, 1, 2)
    assert not duck.merge({"id": 2, "n": 5})
    assert duck.pending() == [(1, "new", None), (2, None, 5)]
    duck.destination.abort()
    assert duck.pending() == [(0, "old")]


@pytest.mark.parametrize("mode", [Mode.MERGE, Mode.REPLACE, Mode.APPEND])
def test_a_run_that_added_rows_joins_those_that_are_there(duck: Any, mode: Mode) -> None:
    made(duck, PLAIN)
    assert snapshot(duck, 1, mode=mode) == (mode is not Mode.APPEND)
    assert len(duck.pending()) == 1 + (mode is Mode.APPEND)
    duck.write(Mode.TRUNCATE)
    assert snapshot(duck, 2, mode=mode) == (mode is not Mode.APPEND)
    assert duck.pending() == [(2, "new")]


def test_the_end_of_an_added_run_keeps_what_others_made_durable_meanwhile(make_duck: Any) -> None:
    one, two = make_duck(pipeline="one").open(), make_duck(pipeline="two").open()
    for duck in (one, two):
        duck.ensure(SCHEMA)
        duck.flush()
    one.write(Mode.APPEND, step=Step.BEGIN)
    one.write(Mode.APPEND, one.rows([{"id": 1, "note": "one"}]).select(SCHEMA.names), Step.ROWS)
    two.append({"id": 2, "note": "two"})
    two.flush()
    one.write(Mode.APPEND, step=Step.END)
    one.flush()
    assert one.query() == [(1, "one"), (2, "two")]


def test_who_reads_meanwhile_sees_the_old_rows_until_the_flush(duck: Any) -> None:
    made(duck, PLAIN)
    with (
        duckdb.connect(duck.path, False, OFFLINE) as reader,
        duckdb.connect(duck.path, False, OFFLINE) as other,
    ):
        reader.execute("BEGIN")
        assert reader.execute("FROM shop.orders").fetchall() == [(0, "old")]
        assert snapshot(duck, *range(1, 3000))
        assert other.execute("FROM shop.orders").fetchall() == [(0, "old")]
        duck.flush()
        for n in range(3):
            duck.merge({"id": n, "note": "later"})
            duck.flush()
        assert reader.execute("FROM shop.orders").fetchall() == [(0, "old")]
        assert other.execute("SELECT count(*) FROM shop.orders").fetchall() == [(3000,)]
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM shop.orders").fetchall() == [(3000,)]


OFFLINE: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


def test_keys_that_rise_are_seen_to_be_distinct_and_others_are_compared(duck: Any) -> None:
    duck.ensure(pa.schema([("a", pa.int64()), ("b", pa.string()), ("n", pa.int64())]), ["a", "b"])
    runs = {
        "rising": [(1, "a"), (1, "b"), (2, "a"), (2, "b")],
        "repeated": [(1, "a"), (1, "b"), (1, "b"), (2, "a")],
        "falling": [(2, "a"), (1, "b"), (1, "a")],
        "back": [(1, "a"), (2, "a"), (1, "a")],
    }
    for keys in runs.values():
        duck.write(Mode.MERGE, step=Step.BEGIN)
        for n, (a, b) in enumerate(keys):
            duck.write(Mode.MERGE, duck.rows([{"a": a, "b": b, "n": n, "_etl_op": "r"}]), Step.ROWS)
        duck.write(Mode.MERGE, step=Step.END)
        last = {key: n for n, key in enumerate(keys)}
        assert duck.pending() == sorted((*key, n) for key, n in last.items())
