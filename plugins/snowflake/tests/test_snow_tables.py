from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve

from etl_core import (
    DELETED,
    OP,
    AddColumn,
    Change,
    DropColumn,
    RenameColumn,
    SchemaError,
    StateError,
    Stream,
    TableSchema,
    WidenColumn,
    pack_seq,
    reserved_schema,
)
from etl_snowflake import control, snapshots
from etl_snowflake.client import Session
from etl_snowflake.control import Kept
from etl_snowflake.names import Names
from etl_snowflake.tables import Tables

Cut = Callable[..., AbstractContextManager[list[str]]]

_COLUMNS = pa.schema([pa.field("id", pa.int32()), ("name", pa.string()), ("tags", pa.list_(pa.int8()))])
_DELETED = pa.schema([pa.field(DELETED, pa.bool_())])


def _seq(number: int) -> bytes:
    return pack_seq(1, number, 0)


@pytest.fixture
def stream(schema: str) -> Stream:
    return Stream(f"{schema}_TO", "orders")


@pytest.fixture
def tables(session: Session, names: Names, stream: Stream) -> Tables:
    session.execute(f"DROP SCHEMA IF EXISTS {names.schema(stream.namespace)}")
    control.install(session, names)
    control.claim(session, names, "p", "fence")
    return Tables(session, names, "p", "fence")


@pytest.fixture
def wanted(stream: Stream) -> TableSchema:
    return TableSchema(stream, _COLUMNS, ("id",), _DELETED, _seq(1))


def _columns(tables: Tables, kept: Kept, table: str | None = None) -> list[tuple[str, str]]:
    place = tables.names.ours(table) if table else kept.target(tables.names)
    return [
        (row[0], row[1].partition("(16777216)")[0]) for row in tables.session.execute(f"DESC TABLE {place}")
    ]


def _names(tables: Tables, kept: Kept, table: str | None = None) -> list[str]:
    return [name for name, _ in _columns(tables, kept, table)]


def _known(tables: Tables, stream: Stream) -> Kept | None:
    return control.find(tables.session, tables.names, "p", stream)


def _table(tables: Tables, stream: Stream) -> TableSchema:
    """Look the way a run that begins does."""
    found = tables.table(stream, _known(tables, stream))
    assert found is not None
    return found


def test_a_table_is_created_with_its_landing_table(tables: Tables, wanted: TableSchema) -> None:
    assert tables.table(wanted.stream, None) is None
    kept = tables.ensure(wanted, (), None)
    assert _columns(tables, kept) == [
        ("ID", "NUMBER(10,0)"),
        ("NAME", "VARCHAR"),
        ("TAGS", "ARRAY"),
        ("_ETL_DELETED", "BOOLEAN"),
    ]
    assert _columns(tables, kept, kept.landing) == [
        *_columns(tables, kept),
        ("_ETL_OP", "VARCHAR(1)"),
        ("_ETL_SEQ", "VARCHAR(40)"),
        ("_ETL_COMMIT_TS", "TIMESTAMP_TZ(9)"),
        ("_ETL_UNCHANGED", "ARRAY"),
        ("_ETL_OLD_KEY", "OBJECT"),
    ]
    assert _known(tables, wanted.stream) == kept
    assert _table(tables, wanted.stream) == wanted


def test_names_stay_as_they_are(tables: Tables, wanted: TableSchema, names: Names) -> None:
    exact = evolve(tables, names=evolve(names, identifiers="exact"))
    columns = pa.schema(
        [pa.field("id", pa.int32()), ("Größe", pa.string()), ('a"b', pa.string()), ("ID", pa.int8())]
    )
    kept = exact.ensure(evolve(wanted, columns=columns), (), None)
    assert _names(exact, kept) == ["id", "Größe", 'a"b', "ID", "_etl_deleted"]
    assert _names(exact, kept, kept.landing)[-2:] == ["_etl_unchanged", "_etl_old_key"]
    with pytest.raises(SchemaError, match="the same in Snowflake"):
        tables.ensure(evolve(wanted, columns=columns), (), kept)


def test_metadata_is_kept_once(tables: Tables, wanted: TableSchema) -> None:
    metadata = [
        field for field in reserved_schema(_COLUMNS, ["id"]) if field.name in {"_etl_seq", "_etl_commit_ts"}
    ]
    kept = tables.ensure(evolve(wanted, control=pa.schema(metadata)), (), None)
    assert _columns(tables, kept)[3:] == [
        ("_ETL_SEQ", "BINARY(8388608)"),
        ("_ETL_COMMIT_TS", "TIMESTAMP_TZ(9)"),
    ]
    assert _columns(tables, kept, kept.landing)[4] == ("_ETL_SEQ", "VARCHAR(40)")
    assert len(_columns(tables, kept, kept.landing)) == 8


@pytest.mark.parametrize("history", [True, False])
def test_only_a_mirror_that_changes_has_a_landing_table(
    tables: Tables, wanted: TableSchema, *, history: bool
) -> None:
    extra = reserved_schema(_COLUMNS, ["id"]) if history else None
    kept = tables.ensure(evolve(wanted, control=extra), (), None)
    there = tables.session.execute(*control.table_there(tables.names, kept.landing))
    assert there == []
    assert (OP in _table(tables, wanted.stream).control.names) == history


def test_a_table_that_others_made_is_used(tables: Tables, wanted: TableSchema, stream: Stream) -> None:
    tables.session.execute(f"CREATE SCHEMA {tables.names.schema(stream.namespace)}")
    place = tables.names.table(stream.namespace, "ORDERS")
    tables.session.execute(
        f"CREATE TABLE {place} (id INT NOT NULL, name VARCHAR(20), tags ARRAY,"
        " theirs TIMESTAMP_LTZ, v VARIANT)"
    )
    found = tables.table(stream, None)
    assert found is not None
    assert found.columns == pa.schema(
        [
            pa.field("ID", pa.decimal128(38, 0), nullable=False),
            ("NAME", pa.string()),
            ("TAGS", pa.list_(pa.json_())),
            ("THEIRS", pa.timestamp("us", "UTC")),
            ("V", pa.json_()),
        ]
    )
    kept = tables.adopt(evolve(wanted, control=pa.schema([])), None)
    assert kept.columns.names == ["id", "name", "tags"], "a column that is not the source's is written to"
    assert _columns(tables, kept, kept.landing)[0] == ("ID", "NUMBER(38,0)")
    assert _known(tables, stream) == kept


def test_a_column_is_added_with_its_default(tables: Tables, wanted: TableSchema) -> None:
    kept = tables.ensure(wanted, (), None)
    kept = snapshots.begin(tables.session, tables.names, "p", "fence", kept, _seq(2))
    tables.session.execute(f"INSERT INTO {kept.target(tables.names)} (ID) VALUES (1), (2)")
    added = [
        ("n", pa.int64(), 7),
        ("word", pa.string(), "it's"),
        ("price", pa.decimal128(10, 2), Decimal("1.50")),
        ("raw", pa.binary(), b"\0\xff"),
        ("flag", pa.bool_(), True),
        ("doc", pa.json_(), '{"a": 1}'),
        ("list", pa.list_(pa.int8()), [1, 2]),
        ("map", pa.map_(pa.string(), pa.int8()), {"a": 1}),
        ("at", pa.timestamp("us"), "2024-05-06T07:08:09"),
        ("none", pa.int8(), None),
    ]
    values = [pa.scalar(value).cast(kind).as_py() if name == "at" else value for name, kind, value in added]
    changes = [AddColumn(name, kind, value) for (name, kind, _), value in zip(added, values, strict=True)]
    kept = _ensured(tables, wanted, kept, [pa.field(name, kind) for name, kind, _ in added], changes)
    rows = tables.session.execute(
        f"SELECT n, word, price, raw, flag, doc, list, map, at::VARCHAR, none"
        f" FROM {kept.target(tables.names)}"
    )
    assert [[_plain(value) for value in row] for row in rows] == [
        [
            7,
            "it's",
            Decimal("1.50"),
            b"\0\xff",
            True,
            '{"a":1}',
            "[1,2]",
            '{"a":1}',
            "2024-05-06 07:08:09",
            None,
        ]
    ] * 2
    assert _names(tables, kept, kept.staging)[-11:] == ["_ETL_N", *[name.upper() for name, _, _ in added]]
    assert {name.upper() for name, _, _ in added} <= set(_names(tables, kept, kept.landing))


def _plain(value: Any) -> Any:
    if isinstance(value, bytearray):
        return bytes(value)
    return "".join(value.split()) if isinstance(value, str) and value[0] in "[{" else value


def _ensured(
    tables: Tables, wanted: TableSchema, kept: Kept, columns: Sequence[pa.Field], changes: Sequence[Change]
) -> Kept:
    """Apply changes as the next schema change; check that a run that begins now sees what was wanted."""
    number = int.from_bytes(wanted.seq or _seq(1), "big") + 1
    table = evolve(wanted, columns=pa.schema([*_COLUMNS, *columns]), seq=number.to_bytes(20, "big"))
    kept = tables.ensure(table, changes, kept)
    assert {field.name: field.type for field in _table(tables, wanted.stream).columns} == {
        field.name: field.type for field in table.columns
    }
    assert _known(tables, wanted.stream) == kept
    return kept


def test_a_change_that_is_known_is_not_made_again(tables: Tables, wanted: TableSchema) -> None:
    kept = tables.ensure(wanted, (), None)
    more = evolve(wanted, columns=pa.schema([*_COLUMNS, ("n", pa.int8())]))
    assert tables.ensure(more, [AddColumn("n", pa.int8())], kept) == kept
    assert "N" not in _names(tables, kept)
    kept = tables.ensure(evolve(more, seq=_seq(2)), [AddColumn("n", pa.int8())], kept)
    assert "N" in _names(tables, kept)
    assert kept.seq == _seq(2).hex()


def test_columns_are_renamed_widened_and_dropped(tables: Tables, wanted: TableSchema) -> None:
    kept = tables.ensure(wanted, (), None)
    tables.session.execute(f"INSERT INTO {kept.target(tables.names)} (ID, NAME) VALUES (1, 'a')")
    changes: list[Change] = [
        RenameColumn("name", "called"),
        WidenColumn("id", pa.int64()),
        DropColumn("tags"),
    ]
    table = evolve(
        wanted, columns=pa.schema([pa.field("id", pa.int64()), ("called", pa.string())]), seq=_seq(2)
    )
    kept = tables.ensure(table, changes, kept)
    expected = [("ID", "NUMBER(19,0)"), ("CALLED", "VARCHAR"), ("_ETL_DELETED", "BOOLEAN")]
    assert _columns(tables, kept) == expected
    assert _columns(tables, kept, kept.landing)[:3] == expected
    assert tables.session.execute(f"SELECT id, called FROM {kept.target(tables.names)}") == [(1, "a")]
    assert _table(tables, wanted.stream).columns == table.columns


def test_a_rename_of_case_alone_changes_nothing_in_upper(tables: Tables, wanted: TableSchema) -> None:
    kept = tables.ensure(wanted, (), None)
    columns = pa.schema([_COLUMNS.field(0), pa.field("Name", pa.string()), _COLUMNS.field(2)])
    kept = tables.ensure(evolve(wanted, columns=columns, seq=_seq(2)), [RenameColumn("name", "Name")], kept)
    assert _names(tables, kept)[:2] == ["ID", "NAME"]
    assert _table(tables, wanted.stream).columns.names == ["id", "Name", "tags"]


@pytest.mark.parametrize(
    "change", [AddColumn("tags", pa.int8()), RenameColumn("name", "tags")], ids=["add", "rename"]
)
def test_a_dropped_column_that_comes_back_is_another(
    tables: Tables, wanted: TableSchema, change: Change
) -> None:
    kept = tables.ensure(wanted, (), None)
    tables.session.execute(
        f"INSERT INTO {kept.target(tables.names)} (ID, NAME, TAGS) SELECT 1, 'a', PARSE_JSON('[1]')"
    )
    columns = pa.schema([pa.field("id", pa.int32()), pa.field("tags", pa.int8())])
    if isinstance(change, RenameColumn):
        columns = pa.schema([pa.field("id", pa.int32()), pa.field("tags", pa.string())])
    kept = tables.ensure(evolve(wanted, columns=columns, seq=_seq(2)), [change], kept)
    expected = (1, "a") if isinstance(change, RenameColumn) else (1, None)
    assert tables.session.execute(f"SELECT id, tags FROM {kept.target(tables.names)}") == [expected]


def test_a_history_keeps_a_dropped_column(tables: Tables, wanted: TableSchema) -> None:
    table = evolve(wanted, control=reserved_schema(_COLUMNS, ["id"]))
    kept = tables.ensure(table, (), None)
    with pytest.raises(SchemaError, match="dropped column of this name"):
        tables.ensure(evolve(table, seq=_seq(2)), [AddColumn("tags", pa.int8())], kept)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (pa.int8(), pa.uint64(), "NUMBER(20,0)"),
        (pa.int32(), pa.decimal128(38, 0), "NUMBER(38,0)"),
        (pa.decimal128(5, 2), pa.decimal128(12, 2), "NUMBER(12,2)"),
        (pa.float32(), pa.float64(), "FLOAT"),
        (pa.timestamp("s"), pa.timestamp("ns"), "TIMESTAMP_NTZ(9)"),
        (pa.list_(pa.int8()), pa.list_(pa.int64()), "ARRAY"),
        (pa.int8(), pa.uint8(), "NUMBER(3,0)"),
    ],
    ids=str,
)
def test_what_can_be_widened(
    tables: Tables, wanted: TableSchema, old: pa.DataType, new: pa.DataType, kind: str
) -> None:
    base = evolve(wanted, columns=pa.schema([pa.field("id", pa.int8()), pa.field("v", old)]))
    kept = tables.ensure(base, (), None)
    wider = evolve(base, columns=pa.schema([pa.field("id", pa.int8()), pa.field("v", new)]), seq=_seq(2))
    kept = tables.ensure(wider, [WidenColumn("v", new)], kept)
    assert dict(_columns(tables, kept))["V"] == kind
    assert _table(tables, wanted.stream).columns.field("v").type == new


def test_what_cannot_be_widened_is_refused_before_anything_changes(
    tables: Tables, wanted: TableSchema
) -> None:
    kept = tables.ensure(wanted, (), None)
    before = _columns(tables, kept, kept.landing)
    for change in (
        WidenColumn("id", pa.string()),
        WidenColumn("id", pa.decimal128(12, 2)),
        WidenColumn("name", pa.int8()),
    ):
        with pytest.raises(SchemaError, match="in place") as caught:
            tables.ensure(evolve(wanted, seq=_seq(2)), [change], kept)
        assert caught.value.facts["column"] == change.name
    assert _columns(tables, kept, kept.landing) == before


def test_values_that_come_again_may_change_their_type(tables: Tables, wanted: TableSchema) -> None:
    kept = tables.ensure(wanted, (), None)
    place = kept.target(tables.names)
    tables.session.execute(f"INSERT INTO {place} (ID, NAME) VALUES (1, '12'), (2, 'x')")
    columns = pa.schema([pa.field("id", pa.string()), ("name", pa.int16()), ("tags", pa.binary())])
    changes = [WidenColumn(field.name, field.type, rewrites=True) for field in columns]
    kept = tables.ensure(evolve(wanted, columns=columns, seq=_seq(2)), changes, kept)
    assert tables.session.execute(f"SELECT id, name, tags FROM {place} ORDER BY id") == [
        ("1", 12, None),
        ("2", None, None),
    ]
    assert "_ETL_RETYPED" not in _names(tables, kept)
    assert _table(tables, wanted.stream).columns == columns


def test_a_column_takes_nulls_from_here_on(tables: Tables, wanted: TableSchema, stream: Stream) -> None:
    tables.session.execute(f"CREATE SCHEMA {tables.names.schema(stream.namespace)}")
    place = tables.names.table(stream.namespace, "ORDERS")
    tables.session.execute(f"CREATE TABLE {place} (id NUMBER(10,0), name VARCHAR NOT NULL, tags ARRAY)")
    kept = tables.adopt(evolve(wanted, control=pa.schema([])), None)
    assert not _table(tables, stream).columns.field("name").nullable
    kept = tables.ensure(evolve(wanted, seq=_seq(2)), [WidenColumn("name", pa.string(), nulls=True)], kept)
    assert _table(tables, stream).columns.field("name").nullable


def test_two_pipelines_may_write_one_table(tables: Tables, wanted: TableSchema) -> None:
    control.claim(tables.session, tables.names, "q", "theirs")
    other = evolve(tables, pipeline="q", fence="theirs")
    kept, theirs = tables.ensure(wanted, (), None), other.ensure(wanted, (), None)
    assert kept.target(tables.names) == theirs.target(tables.names)
    assert kept.landing != theirs.landing


def test_a_displaced_copy_changes_nothing(tables: Tables, wanted: TableSchema) -> None:
    kept = tables.ensure(wanted, (), None)
    control.claim(tables.session, tables.names, "p", "later")
    with pytest.raises(StateError):
        tables.ensure(evolve(wanted, seq=_seq(2)), [AddColumn("n", pa.int8())], kept)
    assert "N" not in _names(tables, kept)


#: How many statements the change of the next test makes that change something.
_STEPS = 22


@pytest.mark.parametrize(
    "step", [n if n in {2, 9, 18} else pytest.param(n, marks=pytest.mark.slow) for n in range(_STEPS + 1)]
)
@pytest.mark.parametrize("done", [False, True], ids=["lost", "unheard"])
def test_a_change_that_broke_off_is_made_when_it_comes_again(
    tables: Tables, wanted: TableSchema, cut: Cut, step: int, *, done: bool
) -> None:
    """The change comes again with the next run, less what that finds done."""
    kept = tables.ensure(wanted, (), None)
    kept = snapshots.begin(tables.session, tables.names, "p", "fence", kept, _seq(2))
    tables.session.execute(f"INSERT INTO {kept.target(tables.names)} (ID, NAME) VALUES (1, 'a')")
    columns = pa.schema([_COLUMNS.field(0), ("called", pa.string()), _COLUMNS.field(2), ("n", pa.int8())])
    table = evolve(wanted, columns=columns, seq=_seq(2))
    changes: list[Change] = [AddColumn("n", pa.int8(), 7), RenameColumn("name", "called")]
    with cut("^(ALTER|UPDATE|COMMIT)", step, done=done) as fired:
        tables.ensure(table, changes, kept)
    assert bool(fired) == (step < _STEPS)
    found = _table(tables, wanted.stream)
    there = found.columns.names
    left = [change for change, name in zip(changes, ("n", "called"), strict=True) if name not in there]
    if left or found.seq != _seq(2):
        kept = tables.ensure(table, left, _known(tables, wanted.stream))
    assert tables.session.execute(f"SELECT id, called, n FROM {kept.target(tables.names)}") == [(1, "a", 7)]
    for each in (kept.landing, kept.staging):
        columns_there = _names(tables, kept, each)
        assert {"CALLED", "N"} <= set(columns_there)
        assert "NAME" not in columns_there
