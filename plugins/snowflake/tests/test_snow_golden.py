"""The statements that are sent, as people would read them: kept beside the tests, and valid Snowflake SQL.

`ETL_GOLDEN=write` writes them anew.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
import sqlglot
from attrs import evolve

from etl_core import DELETED, Mode, Stream, pack_seq, reserved_schema
from etl_snowflake import control, control_sql, snapshots, sql, tasks
from etl_snowflake.control import Kept, Window
from etl_snowflake.merging import Merge
from etl_snowflake.names import Names
from etl_snowflake.target import landing_columns, read_columns, staging_columns
from etl_snowflake.types import converted, from_parquet, from_text

_GOLDEN = Path(__file__).parent / "golden"
_NAMES = Names("ETL_DB", "ETL_LANDING")
_COLUMNS = pa.schema(
    [
        pa.field("id", pa.int64()),
        ('a "b"', pa.string()),
        ("price", pa.decimal128(12, 2)),
        ("tags", pa.list_(pa.string())),
        ("doc", pa.json_()),
        ("raw", pa.binary()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
_RESERVED = reserved_schema(_COLUMNS, ["id"])
_SEQ = pack_seq(1, 2, 3).hex()
_MIRROR = Kept(
    Stream("shop", "orders"),
    "SHOP",
    "ORDERS",
    "LANDING_ORDERS",
    key=("id", 'a "b"'),
    columns=_COLUMNS,
    generation=1,
    staging="STAGING_ORDERS_0123abcd",
    windows=[Window(_SEQ, partial=True)],
)
_SOFT = evolve(
    _MIRROR,
    columns=pa.schema([*_COLUMNS, pa.field(DELETED, pa.bool_()), _RESERVED.field("_etl_seq")]),
    control=[DELETED, "_etl_seq"],
)
_HISTORY = evolve(_MIRROR, columns=pa.schema([*_COLUMNS, *_RESERVED]), control=_RESERVED.names)
_EXACT = Names("etl_db", "etl_landing", "exact")

Sent = str | control.Statement


def _control() -> list[Sent]:
    stream = _MIRROR.stream
    return [
        control.schema_there(_NAMES, "ETL_LANDING"),
        control.tables_there(_NAMES),
        control.table_there(_NAMES, "LANDING_ORDERS"),
        control.create_schema(_NAMES, "ETL_LANDING"),
        *(control_sql.create_control(_NAMES, name) for name in control.TABLES),
        control_sql.claiming(_NAMES, "shop", "fence"),
        control_sql.requiring(_NAMES, "shop", "fence"),
        control_sql.loading(_NAMES, "shop"),
        control_sql.adding(_NAMES, "shop", evolve(_MIRROR, columns=pa.schema([]))),
        control_sql.advancing(_NAMES, "shop", stream, _SEQ, _MIRROR.windows),
        control_sql.merging(_NAMES, "shop", stream, _SEQ, ()),
        control_sql.readying(_NAMES, "shop", stream, _SEQ),
        control_sql.sharing(_NAMES, "shop", "SHOP", "ORDERS"),
        control_sql.answering(_NAMES, "shop", stream, 2),
        control_sql.refusing(_NAMES, ("shop", "0a", str(stream), "no_base_row", "AAAA")),
        control_sql.refused(_NAMES, "shop"),
        control_sql.forgetting(_NAMES, "shop", ["0a", "0b"]),
        control_sql.superseding(_NAMES, "shop", stream),
    ]


def _tables() -> list[Sent]:
    landing, staging = _NAMES.ours("LANDING_ORDERS"), _NAMES.ours("STAGING_ORDERS_0123abcd")
    table = _MIRROR.target(_NAMES)
    retyped = converted('"PRICE"', pa.int64())
    return [
        sql.columns_of(_NAMES, [("SHOP", "ORDERS"), ("ETL_LANDING", "LANDING_ORDERS")]),
        sql.create_table(table, read_columns(_NAMES, _SOFT)),
        sql.create_passing(landing, landing_columns(_NAMES, _SOFT)),
        sql.create_passing(staging, staging_columns(_NAMES, _SOFT)),
        sql.create_table(_HISTORY.target(_NAMES), read_columns(_NAMES, _HISTORY)),
        sql.create_table(_HISTORY.target(_EXACT), read_columns(_EXACT, _HISTORY)),
        sql.add_column(table, "NEW", "NUMBER(19,0)"),
        sql.fill(table, [("NEW", from_text("?", pa.int64()))], ["7"]),
        sql.fill(table, [("DOC", from_text("?", pa.json_()))], ['{"a": 1}']),
        sql.fill(table, [("_ETL_RETYPED", retyped)], []),
        sql.rename_column(table, "NEW", 'A "NEWER" ONE'),
        sql.retype(table, "ID", "NUMBER(38,0)"),
        sql.nullable(table, "ID"),
        sql.drop_column(table, "NEW"),
        sql.drop_table(staging),
        sql.empty(table),
    ]


def _merges() -> list[Sent]:
    found: list[Sent] = []
    for kept in (_MIRROR, _SOFT):
        merge = Merge(_NAMES, kept)
        found += [merge.statement(partial=False), merge.statement(partial=True)]
    merge = Merge(_NAMES, _MIRROR)
    return [
        *found,
        Merge(_EXACT, _MIRROR).statement(partial=True),
        merge.lacking(),
        merge.discard(2),
        merge.clear(),
    ]


def _snapshots() -> list[Sent]:
    modes = (Mode.MERGE, Mode.REPLACE)
    return [
        *(snapshots.appear(_NAMES, _MIRROR, mode) for mode in modes),
        snapshots.appear(_NAMES, _HISTORY, Mode.APPEND),
        snapshots.come_again(_NAMES, _HISTORY, _SEQ, _SEQ),
    ]


def _copies() -> list[Sent]:
    columns = _NAMES.columns(_COLUMNS.names)
    read = ", ".join(from_parquet(_NAMES.fold(field.name), field.type) for field in _COLUMNS)
    return [f"SELECT {read} FROM t /* into {columns} */"]


def _tasks() -> list[Sent]:
    return [
        tasks.create(_NAMES, "shop's", _MIRROR, "ETL_WH", 5),
        tasks.resume(_NAMES, _MIRROR),
        tasks.drop(_NAMES, _MIRROR),
    ]


_KINDS: Mapping[str, list[Sent]] = {
    "control": _control(),
    "tables": _tables(),
    "merging": _merges(),
    "snapshots": _snapshots(),
    "reading_parquet": _copies(),
    "tasks": _tasks(),
}


@pytest.mark.parametrize("kind", _KINDS)
def test_statements_are_what_they_were(kind: str) -> None:
    shown = "\n".join(_shown(each) for each in _KINDS[kind])
    path = _GOLDEN / f"{kind}.sql"
    if os.environ.get("ETL_GOLDEN") == "write":
        _GOLDEN.mkdir(exist_ok=True)
        path.write_text(shown)
    assert path.read_text() == shown


def _shown(sent: Sent) -> str:
    text, binds = (sent, ()) if isinstance(sent, str) else sent
    return f"{text};\n" + (f"-- {', '.join(map(repr, binds))}\n" if binds else "")


@pytest.mark.parametrize(
    "text",
    [
        *(
            each if isinstance(each, str) else each[0]
            for kind in _KINDS
            if kind != "tasks"
            for each in _KINDS[kind]
        ),
        *tasks.body(_NAMES, "shop's", _MIRROR).replace("EXCEPTION\nWHEN OTHER THEN\n", "").split(";\n")[1:-2],
    ],
    ids=lambda text: " ".join(text.split()[:3]),
)
def test_statements_are_snowflakes_sql(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sqlglot"):
        trees = sqlglot.parse(text, read="snowflake")
    assert len(trees) == 1
    assert "unsupported" not in caplog.text, "sqlglot has kept it as it is, without reading it"
    assert isinstance(trees[0], sqlglot.exp.Expression | sqlglot.exp.Command)
