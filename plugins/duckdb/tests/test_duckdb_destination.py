"""What a user of the destination relies on, one behaviour at a time."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from etl_core import (
    Delivery,
    FatalError,
    Mode,
    Position,
    SchemaError,
    StateError,
    Stream,
    Write,
    pack_seq,
    with_key,
)
from etl_duckdb.config import DuckDBConfig
from etl_duckdb.destination import DuckDBDestination

ORDERS = Stream("shop", "orders")
SCHEMA = pa.schema([("id", pa.int64()), ("note", pa.string()), ("big", pa.string())])
SOFT = pa.schema([("_etl_deleted", pa.bool_())])
PARTIAL = {"_etl_op": "u", "_etl_unchanged": ["big"]}


def mirror(duck: Any, *rows: tuple[int, str | None, str | None]) -> Any:
    """Make the mirror, with these rows in it, durable."""
    duck.ensure(SCHEMA, ["id"])
    duck.merge(*(dict(zip(SCHEMA.names, row, strict=True)) for row in rows))
    duck.flush("start")
    return duck


def test_it_promises_exactly_once_in_every_mode(duck: Any) -> None:
    assert DuckDBDestination.modes == frozenset(Mode)
    assert {duck.destination.delivery(mode) for mode in Mode} == {Delivery.EXACTLY_ONCE}


def test_rows_are_visible_and_durable_with_their_position_or_not_at_all(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    duck.merge({"id": 2, "note": "b"})
    assert duck.query() == [(1, "a", "A")]
    position = duck.flush({"lsn": "0/16"})
    assert duck.query() == [(1, "a", "A"), (2, "b", None)]
    duck.close()
    duck.open("other fence")
    assert duck.destination.resume_position() == position


def test_abort_forgets_what_was_not_flushed(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    before = duck.destination.resume_position()
    duck.merge({"id": 1, "_etl_op": "d"})
    duck.destination.abort()
    assert duck.query() == duck.pending() == [(1, "a", "A")]
    assert duck.destination.resume_position() == before
    duck.merge({"id": 2})
    duck.flush()
    assert len(duck.query()) == 2


def test_two_keys_can_be_swapped_in_one_write(duck: Any) -> None:
    mirror(duck, (1, "one", "ONE"), (2, "two", "TWO"))
    moved = [
        PARTIAL | {"id": 2, "note": "one", "_etl_old_key": {"id": 1}},
        PARTIAL | {"id": 1, "note": "two", "_etl_old_key": {"id": 2}},
    ]
    assert not duck.merge(*moved)
    assert duck.pending() == [(1, "two", "TWO"), (2, "one", "ONE")]


def test_a_chain_of_keys_moves_as_a_set(duck: Any) -> None:
    mirror(duck, (1, "one", "ONE"), (2, "two", "TWO"), (3, "three", "THREE"))
    rows = [PARTIAL | {"id": n + 1, "note": f"was {n}", "_etl_old_key": {"id": n}} for n in (1, 2, 3)]
    assert not duck.merge(*rows, {"id": 1, "note": "new"})
    assert duck.pending() == [
        (1, "new", None),
        (2, "was 1", "ONE"),
        (3, "was 2", "TWO"),
        (4, "was 3", "THREE"),
    ]


def test_a_partial_row_without_its_base_row_is_refused_with_all_its_columns(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    refused = duck.merge(PARTIAL | {"id": 1, "note": "b"}, PARTIAL | {"id": 5, "note": "lost"})
    assert [(each.code, each.stage, each.stream) for each in refused] == [
        ("no_base_row", "destination", ORDERS)
    ]
    assert refused[0].rows.column_names == duck.rows([{}]).column_names
    assert refused[0].rows.column("note").to_pylist() == ["lost"]
    assert duck.pending() == [(1, "b", "A")]


def test_an_empty_list_of_unchanged_columns_leaves_nothing_out(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    rows = duck.rows([PARTIAL | {"id": 1, "note": "b"}, {"id": 7, "_etl_op": "u", "_etl_unchanged": []}])
    assert not duck.write(Mode.MERGE, rows)
    assert duck.pending() == [(1, "b", "A"), (7, None, None)]


@pytest.mark.parametrize("row", [{"id": None}, {"id": 1, "_etl_op": "u", "_etl_old_key": {"id": None}}])
def test_a_row_without_key_is_refused(duck: Any, row: dict[str, Any]) -> None:
    mirror(duck, (1, "a", "A"))
    refused = duck.merge(row, {"id": 3, "note": "c"})
    assert [(each.code, each.column, each.rows.num_rows) for each in refused] == [("null_key", "id", 1)]
    assert duck.pending() == [(1, "a", "A"), (3, "c", None)]


def test_a_soft_delete_marks_the_row_and_an_insert_clears_the_mark(duck: Any) -> None:
    duck.ensure(SCHEMA, ["id"], control=SOFT)
    duck.merge({"id": 1, "note": "a", "big": "A", "_etl_deleted": False})
    delete = {"_etl_op": "d", "_etl_deleted": True}
    duck.merge(delete | {"id": 1}, delete | {"id": 9}, {"id": 2, "note": "gone", "_etl_deleted": True})
    assert duck.pending() == [(1, "a", "A", True), (2, "gone", None, True)]
    duck.merge({"id": 1, "note": "back", "_etl_deleted": False})
    assert duck.pending() == [(1, "back", None, False), (2, "gone", None, True)]


def test_a_soft_delete_after_a_key_change_keeps_the_values_under_the_new_key(duck: Any) -> None:
    duck.ensure(SCHEMA, ["id"], control=SOFT)
    duck.merge({"id": 1, "note": "a", "big": "A", "_etl_deleted": False})
    duck.merge({"id": 2, "_etl_op": "d", "_etl_old_key": {"id": 1}, "_etl_deleted": True})
    assert duck.pending() == [(2, "a", "A", True)]


def test_a_hard_delete_after_a_key_change_removes_the_old_row(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    duck.merge({"id": 2, "_etl_op": "d", "_etl_old_key": {"id": 1}})
    assert duck.pending() == []


def test_metadata_of_a_delete_is_kept_with_its_marked_row(duck: Any) -> None:
    control = pa.schema([*SOFT, ("_etl_seq", pa.binary(20))])
    duck.ensure(SCHEMA, ["id"], control=control)
    seqs = [pack_seq(1, n, 2) for n in (1, 2)]
    duck.merge({"id": 1, "note": "a", "_etl_seq": seqs[0], "_etl_deleted": False})
    duck.merge({"id": 1, "_etl_op": "d", "_etl_seq": seqs[1], "_etl_deleted": True})
    assert duck.pending() == [(1, "a", None, True, seqs[1])]


def test_a_column_that_rows_lack_becomes_null(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    duck.write(Mode.MERGE, duck.rows([{"id": 1, "note": "b"}]).drop_columns(["big"]))
    assert duck.pending() == [(1, "b", None)]


def test_a_column_that_the_table_lacks_is_an_error_not_a_loss(duck: Any) -> None:
    mirror(duck)
    with pytest.raises(SchemaError) as error:
        duck.merge({"id": 1, "surprise": "x"})
    assert error.value.facts["column"] == "surprise"


def test_columns_meet_whatever_the_case_of_their_letters(duck: Any) -> None:
    schema = pa.schema([("Id", pa.int64()), ("É", pa.string()), ("é", pa.string())])
    duck.ensure(schema, ["Id"])
    duck.merge({"Id": 1, "É": "big", "é": "small"})
    duck.schemas[ORDERS] = with_key(schema.set(0, pa.field("ID", pa.int64())), ["ID"])
    assert not duck.merge({"ID": 1, "É": "BIG", "_etl_op": "u", "_etl_unchanged": ["é"]})
    assert duck.pending() == [(1, "BIG", "small")]
    fold = duck.destination.fold
    assert (fold("ID"), fold("É") == fold("é")) == ("id", False)


OLD = "_etl_old_key"


def test_composite_keys_of_several_types(duck: Any) -> None:
    key = ["when", "Part", "price"]
    schema = pa.schema(
        [
            ("when", pa.timestamp("us", "UTC")),
            ("Part", pa.binary(2)),
            ("price", pa.decimal128(9, 2)),
            ("v", pa.string()),
        ]
    )
    duck.ensure(schema, key)
    import datetime as dt
    from decimal import Decimal

    first = {"when": dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "Part": b"\0a", "price": Decimal("1.50")}
    second = first | {"Part": b"\0A"}
    duck.merge(first | {"v": "1"}, second | {"v": "2"})
    duck.merge(
        second | {"_etl_op": "d"},
        first | {"price": Decimal("2.50"), "_etl_op": "u", "_etl_unchanged": ["v"], OLD: first},
    )
    assert duck.pending("SELECT price, v FROM shop.orders") == [(Decimal("2.50"), "1")]


def test_append_keeps_every_row_and_the_reserved_columns_as_values(duck: Any) -> None:
    duck.ensure(SCHEMA, ["id"])
    rows = duck.rows(
        [{"id": 1, "_etl_seq": b"s" * 20}, {"id": 1, "_etl_op": "d", "_etl_unchanged": ["note", "big"]}]
    )
    control = pa.schema(list(rows.schema)[3:])
    duck.ensure(SCHEMA, ["id"], stream=Stream("log", "orders"), control=control)
    duck.write(Mode.APPEND, rows, stream=Stream("log", "orders"))
    found = duck.pending("SELECT id, _etl_op, _etl_seq, _etl_unchanged, _etl_old_key FROM log.orders")
    assert found == [(1, "i", b"s" * 20, None, None), (1, "d", None, ["note", "big"], None)]
    assert duck.destination.table(Stream("log", "orders")).control.names == control.names


def test_truncate_empties_and_replace_without_steps_replaces(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    duck.write(Mode.TRUNCATE)
    assert duck.pending() == []
    duck.append({"id": 2})
    duck.write(Mode.REPLACE, duck.rows([{"id": 3}]).select(SCHEMA.names))
    assert duck.pending() == [(3, None, None)]


def test_no_rows_are_fine(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    assert not duck.merge()
    assert not duck.append()
    duck.flush()
    assert duck.query() == [(1, "a", "A")]


def test_a_stream_without_namespace_lands_in_main(duck: Any) -> None:
    bare = Stream("", "bare")
    duck.ensure(SCHEMA, ["id"], stream=bare)
    duck.append({"id": 1}, stream=bare)
    assert duck.pending("SELECT id FROM main.bare") == [(1,)]
    assert duck.destination.table(bare).key == ("id",)


def test_writing_to_a_stream_without_table_is_a_schema_error(duck: Any) -> None:
    with pytest.raises(SchemaError):
        duck.write(Mode.TRUNCATE)


def test_the_connectors_own_schema_is_refused(duck: Any) -> None:
    with pytest.raises(SchemaError):
        duck.ensure(SCHEMA, stream=Stream("_ETL", "pipelines"))


def test_after_a_failure_nothing_is_committed_until_abort(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    duck.merge({"id": 2})
    with pytest.raises(SchemaError):
        duck.merge({"id": 3, "surprise": "x"})
    with pytest.raises(FatalError):
        duck.flush()
    with pytest.raises(FatalError):
        duck.merge({"id": 4})
    duck.destination.abort()
    duck.merge({"id": 5})
    duck.flush()
    assert [row[0] for row in duck.query()] == [1, 5]


def test_a_failure_of_the_program_between_two_statements_rolls_back(duck: Any, monkeypatch: Any) -> None:
    from etl_duckdb import merging

    mirror(duck, (1, "a", "A"))
    monkeypatch.setattr(merging, "_put", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        duck.merge({"id": 1, "note": "b"})
    with pytest.raises(FatalError):
        duck.flush()
    duck.destination.abort()
    assert duck.pending() == [(1, "a", "A")]


def test_a_value_too_big_for_the_tables_column_is_refused_not_changed(duck: Any) -> None:
    duck.ensure(pa.schema([("id", pa.int64()), ("n", pa.int8())]), ["id"])
    schema = pa.schema([("id", pa.int64()), ("n", pa.float64())])
    rows = pa.table({"id": [1, 2, 3, 4], "n": [1.0, 1.5, 300.0, None]}, schema=schema)
    refused = duck.destination.write(Write(ORDERS, Mode.APPEND, rows))
    assert [(each.code, each.column, each.rows.column("id").to_pylist()) for each in refused] == [
        ("does_not_fit", "n", [2, 3])
    ]
    assert duck.pending() == [(1, 1), (4, None)]


def test_types_that_only_duckdb_has_take_what_it_casts(duck: Any) -> None:
    duck.destination._db().run("CREATE SCHEMA shop")
    duck.destination._db().run(
        "CREATE TABLE shop.orders (id HUGEINT, mood ENUM ('sad', 'ok'), u UNION(a INT, b VARCHAR))"
    )
    schema = pa.schema([("id", pa.int64()), ("mood", pa.string())])
    duck.ensure(schema, ["id"])
    duck.merge({"id": 1, "mood": "ok"})
    duck.merge({"id": 1, "mood": "sad"})
    assert duck.pending("SELECT id, mood FROM shop.orders") == [(1, "sad")]


def test_positions_can_be_set_and_cleared(duck: Any) -> None:
    mirror(duck, (1, "a", "A"))
    duck.merge({"id": 2})
    other = Position(7, 9, {"x": [1, None]}, complete=False, snapshots=(ORDERS,))
    duck.destination.set_position(other)
    assert duck.destination.resume_position() == other
    assert len(duck.query()) == 1
    duck.destination.set_position(None)
    assert duck.destination.resume_position() is None


def test_it_says_that_it_is_not_open(tmp_path: Any) -> None:
    destination = DuckDBDestination(DuckDBConfig(tmp_path / "x.duckdb"))
    destination.close()
    with pytest.raises(StateError):
        destination.resume_position()


def test_the_memory_limit_and_the_threads_are_set(make_duck: Any) -> None:
    duck = make_duck(memory_limit=100 << 20, threads=1).open()
    names = ("memory_limit", "wal_autocheckpoint", "threads", "TimeZone")
    asked = ", ".join(f"current_setting('{name}')" for name in names)
    assert duck.pending(f"SELECT {asked}") == [("100.0 MiB", "50.0 MiB", 1, "UTC")]
    large = make_duck("large.duckdb", memory_limit=1 << 30).open()
    assert large.pending("SELECT current_setting('wal_autocheckpoint')") == [("64.0 MiB",)]


def test_rows_are_read_where_they_are(duck: Any, monkeypatch: Any) -> None:
    """The buffers handed to DuckDB are those that were handed to `write`."""
    from etl_duckdb.client import Database

    duck.ensure(SCHEMA, ["id"])
    rows, handed = duck.rows([{"id": 1, "note": "a"}]), []
    execute = Database.rows
    monkeypatch.setattr(
        Database, "rows", lambda *args, **named: handed.append(named) or execute(*args, **named)
    )
    duck.write(Mode.MERGE, rows)
    duck.write(Mode.APPEND, rows.select(SCHEMA.names))
    tables = [named["incoming"] for named in handed if named.get("incoming") is not None]
    assert len(tables) == 3  # removed by key, put, appended
    for table in tables:
        for place, name in enumerate(SCHEMA.names):
            assert _addresses(table, f"c{place}") == _addresses(rows, name)


def _addresses(table: pa.Table, name: str) -> list[int]:
    chunks = table.column(name).chunks
    return [buffer.address for chunk in chunks for buffer in chunk.buffers() if buffer is not None]
