"""Tables made, changed and told about; names as hostile as they get."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from etl_core import (
    AddColumn,
    DropColumn,
    Mode,
    RenameColumn,
    SchemaError,
    Step,
    Stream,
    TableSchema,
    WidenColumn,
    pack_seq,
)

ORDERS = Stream("shop", "orders")
SCHEMA = pa.schema([("id", pa.int64()), ("note", pa.string())])
HISTORY = pa.schema([("_etl_op", pa.string())])


def seq(n: int) -> bytes:
    return pack_seq(1, n, 0)


def change(duck: Any, schema: pa.Schema, *changes: Any, n: int = 1, control: pa.Schema | None = None) -> None:
    duck.ensure(schema, ["id"], changes, seq=seq(n), control=control)


def columns(duck: Any) -> dict[str, pa.DataType]:
    return {field.name: field.type for field in duck.destination.table(ORDERS).columns}


@pytest.fixture
def filled(duck: Any) -> Any:
    """Return a destination with two rows in its table, durable."""
    duck.ensure(SCHEMA, ["id"])
    duck.append({"id": 1, "note": "a"}, {"id": 2})
    duck.flush()
    return duck


def test_what_is_not_there_is_none(duck: Any) -> None:
    assert duck.destination.table(ORDERS) is None


def test_a_table_tells_what_it_was_made_of(duck: Any) -> None:
    control = pa.schema([("_etl_deleted", pa.bool_())])
    duck.ensure(SCHEMA, ["id"], control=control, seq=seq(4))
    assert duck.destination.table(ORDERS) == TableSchema(ORDERS, SCHEMA, ("id",), control, seq(4))
    assert duck.destination.table(Stream("SHOP", "ORDERS")).key == ("id",)
    duck.flush()
    duck.close()
    duck.open()
    assert duck.destination.table(ORDERS) == TableSchema(ORDERS, SCHEMA, ("id",), control, seq(4))


def test_making_a_table_is_undone_with_its_rows(duck: Any) -> None:
    duck.ensure(SCHEMA, ["id"])
    duck.append({"id": 1})
    duck.destination.abort()
    assert duck.destination.table(ORDERS) is None


def test_a_table_that_others_made_is_taken_as_it_is(duck: Any) -> None:
    db = duck.destination._db()
    db.run("CREATE SCHEMA shop")
    db.run("CREATE TABLE shop.Orders (ID BIGINT, note VARCHAR, extra TIMETZ)")
    table = duck.destination.table(ORDERS)
    assert (table.columns.names, table.key, table.seq) == (["ID", "note", "extra"], (), None)
    duck.ensure(SCHEMA, ["id"])
    duck.merge({"id": 1, "note": "a"})
    duck.merge({"id": 1, "note": "b"})
    assert duck.pending("SELECT id, note, extra FROM shop.orders") == [(1, "b", None)]
    assert duck.destination.table(ORDERS).key == ("id",)


@pytest.mark.parametrize(
    ("type", "default"),
    [
        (pa.int32(), 5),
        (pa.string(), 'it\'s "x"'),
        (pa.decimal128(9, 2), "1.50"),
        (pa.list_(pa.string()), ["a", None]),
        (pa.binary(), b"\0\xff"),
        (pa.uuid(), b"0123456789abcdef"),
        (pa.month_day_nano_interval(), pa.MonthDayNano([1, 2, 3000])),
        (pa.bool_(), None),
    ],
    ids=str,
)
def test_an_added_column_has_its_default_in_rows_that_are_there(
    filled: Any, type: pa.DataType, default: Any
) -> None:
    from decimal import Decimal

    value: Any = Decimal(default) if pa.types.is_decimal(type) else default
    change(filled, SCHEMA.append(pa.field("extra", type)), AddColumn("extra", type, value))
    filled.append({"id": 3})
    found = (
        filled.destination._db()._connection.sql("SELECT extra FROM shop.orders ORDER BY id").to_arrow_table()
    )
    kept = pa.array([value, value, None], type) if type != pa.uuid() else _uuids([value, value, None])
    assert found.column("extra").to_pylist() == kept.to_pylist()
    assert columns(filled)["extra"] == type


def _uuids(values: list[bytes | None]) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(values, pa.binary(16)))


def test_changes_are_applied_in_order_and_rows_follow_in_the_same_transaction(filled: Any) -> None:
    schema = pa.schema([("id", pa.int64()), ("text", pa.string()), ("n", pa.int64())])
    filled.merge({"id": 9, "note": "before"})
    change(
        filled,
        schema,
        AddColumn("n", pa.int32(), 7),
        RenameColumn("note", "text"),
        WidenColumn("n", pa.int64()),
    )
    filled.merge({"id": 1, "text": "b", "n": 2**40})
    assert filled.pending() == [(1, "b", 2**40), (2, None, 7), (9, "before", 7)]
    filled.destination.abort()
    assert list(columns(filled)) == ["id", "note"]
    assert filled.pending() == [(1, "a"), (2, None)]


def test_a_change_is_made_once(filled: Any) -> None:
    schema = SCHEMA.append(pa.field("n", pa.int32()))
    change(filled, schema, AddColumn("n", pa.int32(), 7), n=5)
    filled.merge({"id": 1, "n": 1})
    for n in (5, 4):
        change(filled, schema, AddColumn("n", pa.int32(), 7), n=n)
    assert filled.pending() == [(1, None, 1), (2, None, 7)]
    assert filled.destination.table(ORDERS).seq == seq(5)
    change(filled, SCHEMA, DropColumn("n"), n=6)
    assert list(columns(filled)) == ["id", "note"]


def test_a_column_renamed_in_case_only_keeps_its_values(filled: Any) -> None:
    change(filled, SCHEMA, RenameColumn("note", "NOTE"))
    assert list(columns(filled)) == ["id", "NOTE"]
    assert filled.pending() == [(1, "a"), (2, None)]


def test_a_mirror_gives_way_when_a_dropped_name_comes_back(filled: Any) -> None:
    """The source dropped `note`, which stays here; then it adds, or renames to, another `note`."""
    change(filled, SCHEMA, AddColumn("note", pa.int32(), 5))
    assert filled.pending() == [(1, 5), (2, 5)]
    change(filled, SCHEMA.append(pa.field("x", pa.int8())), AddColumn("x", pa.int8(), 1), n=2)
    change(filled, SCHEMA, RenameColumn("x", "note"), n=3)
    assert filled.pending() == [(1, 1), (2, 1)]


def test_a_history_never_loses_a_dropped_column(duck: Any) -> None:
    duck.ensure(SCHEMA, [], control=HISTORY)
    with pytest.raises(SchemaError) as error:
        change(duck, SCHEMA, AddColumn("note", pa.int32()), control=HISTORY)
    assert error.value.facts["column"] == "note"


@pytest.mark.parametrize(
    ("type", "value", "wider", "kept"),
    [
        (pa.int8(), 5, pa.int64(), 5),
        (pa.int32(), 5, pa.string(), "5"),
        (pa.float32(), 1.5, pa.float64(), 1.5),
        (pa.date32(), 0, pa.timestamp("us"), "1970-01-01 00:00:00"),
        (pa.decimal128(5, 2), "1.50", pa.decimal128(20, 4), "1.5000"),
        (pa.list_(pa.int8()), [5], pa.list_(pa.int64()), [5]),
    ],
)
def test_a_widened_column_keeps_its_values(
    duck: Any, type: pa.DataType, value: Any, wider: pa.DataType, kept: Any
) -> None:
    from decimal import Decimal

    duck.ensure(SCHEMA.append(pa.field("n", type)), ["id"])
    duck.append({"id": 1, "n": Decimal(value) if pa.types.is_decimal(type) else value}, {"id": 2})
    change(duck, SCHEMA.append(pa.field("n", wider)), WidenColumn("n", wider))
    shown = "n" if isinstance(kept, list) else "n::VARCHAR"
    assert duck.pending(f"SELECT {shown} FROM shop.orders ORDER BY id") == [
        (kept if isinstance(kept, list) else str(kept),),
        (None,),
    ]
    assert columns(duck)["n"] == wider


@pytest.mark.parametrize(
    ("type", "value", "narrower"),
    [
        (pa.float64(), 1.5, pa.int32()),
        (pa.string(), "x", pa.int32()),
        (pa.int64(), 300, pa.int8()),
        (pa.string(), "x", pa.list_(pa.int32())),
    ],
)
def test_a_type_that_would_change_a_stored_value_is_an_error(
    duck: Any, type: pa.DataType, value: Any, narrower: pa.DataType
) -> None:
    duck.ensure(SCHEMA.append(pa.field("n", type)), ["id"])
    duck.append({"id": 1, "n": value})
    with pytest.raises(SchemaError):
        change(duck, SCHEMA, WidenColumn("n", narrower))


def test_a_rewritten_column_takes_the_new_type_and_waits_for_its_values(duck: Any) -> None:
    duck.ensure(SCHEMA, ["id"])
    duck.append({"id": 1, "note": "12"}, {"id": 2, "note": "not a number"})
    change(duck, SCHEMA.set(1, pa.field("note", pa.int32())), WidenColumn("note", pa.int32(), rewrites=True))
    assert duck.pending() == [(1, 12), (2, None)]


@pytest.mark.parametrize(
    "impossible", [WidenColumn("nowhere", pa.int32()), RenameColumn("nowhere", "x"), DropColumn("nowhere")]
)
def test_a_change_of_a_column_that_is_not_there_is_an_error(filled: Any, impossible: Any) -> None:
    with pytest.raises(SchemaError):
        change(filled, SCHEMA, impossible)


def test_an_index_of_the_users_is_named_as_the_obstacle(filled: Any) -> None:
    filled.destination._db().run("CREATE INDEX mine ON shop.orders (id)")
    with pytest.raises(SchemaError) as error:
        change(filled, SCHEMA, RenameColumn("note", "text"))
    assert "indexes" in (error.value.hint or "")


def test_a_constraint_of_the_users_is_named_without_the_rows_value(duck: Any) -> None:
    db = duck.destination._db()
    db.run("CREATE SCHEMA shop")
    db.run("CREATE TABLE shop.orders (id BIGINT, note VARCHAR CHECK (note <> 'secret'))")
    duck.ensure(SCHEMA, ["id"])
    with pytest.raises(SchemaError) as error:
        duck.append({"id": 1, "note": "secret"})
    assert "secret" not in str(error.value)
    assert error.value.__cause__ is None


def test_columns_that_duckdb_cannot_tell_apart_are_refused(duck: Any) -> None:
    with pytest.raises(SchemaError):
        duck.ensure(pa.schema([("id", pa.int64()), ("ID", pa.int64())]), ["id"])


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_no_quoting_can_carry_are_refused(duck: Any, name: str) -> None:
    with pytest.raises(SchemaError):
        duck.ensure(pa.schema([(name, pa.int64())]))


HOSTILE = [
    "select",
    "rowid",
    'a"b',
    "a.b",
    " ",
    "';DROP TABLE x;--",
    "${x}",
    "%s ?",
    "naïve ☃",
    "n",
    "op",
    "c0",
    "r0",
    "unchanged",
    "x" * 300,
    "new\nline",
]


@pytest.mark.parametrize("name", [*HOSTILE, "main", "temp", "system", "test", "_etl_new"])
def test_schemas_and_tables_may_be_called_anything(duck: Any, name: str) -> None:
    stream = Stream(name, name)
    duck.ensure(SCHEMA, ["id"], stream=stream)
    duck.merge({"id": 1, "note": "a"}, stream=stream)
    duck.write(Mode.MERGE, step=Step.BEGIN, stream=stream)
    duck.flush()
    duck.write(Mode.MERGE, duck.rows([{"id": 2}], stream), Step.ROWS, stream=stream)
    duck.write(Mode.MERGE, step=Step.END, stream=stream)
    duck.merge({"id": 2, "note": "b", "_etl_op": "u"}, stream=stream)
    quoted = name.replace('"', '""')
    assert duck.pending(f'FROM test."{quoted}"."{quoted}"') == [(2, "b")]
    assert duck.destination.table(stream).stream == stream


def test_columns_may_be_called_anything(duck: Any) -> None:
    schema = pa.schema([(name, pa.string()) for name in HOSTILE])
    first = {name: f"1 {name}" for name in HOSTILE}
    duck.ensure(schema, HOSTILE[:3], control=pa.schema([("_etl_deleted", pa.bool_())]))
    duck.merge(first | {"_etl_deleted": False})
    old = {name: first[name] for name in HOSTILE[:3]}
    moved = dict.fromkeys(HOSTILE[:3], "moved")
    duck.merge(
        moved | {"_etl_op": "u", "_etl_old_key": old, "_etl_unchanged": HOSTILE[3:], "_etl_deleted": False}
    )
    assert duck.pending() == [(*moved.values(), *list(first.values())[3:], False)]
    duck.write(Mode.MERGE, step=Step.BEGIN)
    for _ in range(2):
        duck.write(Mode.MERGE, duck.rows([first | {"_etl_deleted": False}]), Step.ROWS)
    duck.write(Mode.MERGE, step=Step.END)
    assert duck.pending() == [(*first.values(), False)]
    change(duck, schema, RenameColumn("rowid", "row id"), AddColumn('"', pa.int8(), 1), DropColumn("a.b"))
    assert "row id" in duck.destination.table(ORDERS).columns.names


@pytest.mark.parametrize("name", ["temp.db", "main.db", "_etl.db", "é ; '.duckdb", "shop.duckdb"])
def test_the_file_may_be_called_anything(make_duck: Any, name: str) -> None:
    duck = make_duck(name).open()
    duck.ensure(SCHEMA, ["id"])
    duck.append({"id": 1})
    duck.flush()
    duck.close()
    duck.open()
    assert duck.destination.table(ORDERS).key == ("id",)
    assert duck.destination.resume_position() is not None


def test_what_others_change_between_transactions_is_seen(filled: Any) -> None:
    filled.merge({"id": 1, "note": "before"})
    filled.flush()
    filled.query("ALTER TABLE shop.orders ADD COLUMN mine INTEGER DEFAULT 7")
    filled.merge({"id": 1, "note": "after"})
    assert filled.pending() == [(1, "after", None), (2, None, 7)]
    filled.flush()
    filled.query("DROP TABLE shop.orders")
    with pytest.raises(SchemaError):
        filled.merge({"id": 1})
