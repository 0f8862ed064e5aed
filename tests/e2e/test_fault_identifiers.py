"""Names that need care: quotes, dots, spaces, capitals, other alphabets, wildcards, as long as may be."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from support.live import Copy

from etl_core import ConfigError, Stream
from etl_pglib.names import quote_ident, quote_stream
from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)

LONG = "é" * 31 + "x"  # 63 bytes
NAMES = [
    'quote"d',
    "dot.ted",
    "with space",
    "Capitals",
    "tab\tand\nline",
    "back\\slash",
    "quo'te",
    "select",
    "価格",
    "🐘",
    "100%",
    "a[1]*?",
    "{b}",
    LONG,
]
#: Names of publications: they travel in a list.
PUBLICATIONS = ['quote"d', "quo'te", "back\\slash", "one, two", "Capitals", LONG]


def sql(name: str) -> str:
    return quote_ident(name)


def create(pg: Database, streams: list[Stream]) -> None:
    """Make tables whose columns have every name, and whose key is the first of them."""
    columns = ", ".join(f"{sql(name)} text" for name in NAMES[1:])
    for stream in streams:
        pg.execute(
            f"create schema if not exists {sql(stream.namespace)}",
            f"create table {quote_stream(stream)} ({sql(NAMES[0])} int primary key, {columns})",
        )
        insert(pg, stream, 1)


def insert(pg: Database, stream: Stream, key: int) -> None:
    values = ", ".join(f"'{key}-{number}'" for number in range(1, len(NAMES)))
    pg.execute(f"insert into {quote_stream(stream)} values ({key}, {values})")


def assert_equal(copy: Copy, streams: list[Stream]) -> None:
    with duckdb.connect(str(copy.file), read_only=True) as connection:
        for stream in streams:
            found = connection.execute(f"select * from {quote_stream(stream)} order by 1")
            assert [column[0] for column in found.description or ()] == NAMES
            assert found.fetchall() == copy.database.query(f"select * from {quote_stream(stream)} order by 1")


def test_names_of_all_kinds(pg: Database, tmp_path: Path) -> None:
    streams = [Stream(f"s {name}"[:20], name) for name in NAMES] + [Stream(LONG, LONG)]
    create(pg, streams)
    copy = Copy(pg, tmp_path, tables=["*"], extract={"refresh": 0.1})
    copy.once()
    assert_equal(copy, streams)
    for stream in streams:
        insert(pg, stream, 2)
        key, value = sql(NAMES[0]), sql(NAMES[-1])
        pg.execute(
            f"update {quote_stream(stream)} set {value} = 'changed', {key} = 3 where {key} = 1",
            f"alter table {quote_stream(stream)} add {sql('add.ed')} int default 7",
            f"alter table {quote_stream(stream)} drop {sql('add.ed')}",
            f"insert into {quote_stream(stream)} ({key}) values (9)",
        )
    copy.once()
    assert_equal(copy, streams)


@pytest.mark.parametrize("name", ['quote"d', "dot.ted", "Capitals", "a[1]*?"])
def test_a_table_is_named_by_its_quoted_name(pg: Database, tmp_path: Path, name: str) -> None:
    """Also where it has wildcards in it: it stands for itself too."""
    wanted, other = Stream(f"in {name}"[:20], name), Stream("public", "other")
    create(pg, [wanted, other])
    copy = Copy(pg, tmp_path, tables=[str(wanted)])
    copy.once()
    insert(pg, wanted, 2)
    insert(pg, other, 2)
    copy.once()
    assert_equal(copy, [wanted])
    tables = copy.select("select schema_name, table_name from duckdb_tables() where not internal")
    assert (other.namespace, other.name) not in tables


def test_a_publication_with_a_name_that_needs_care(pg: Database, tmp_path: Path) -> None:
    for number, name in enumerate(PUBLICATIONS):
        pg.execute(f"create table t{number} (id int primary key)", f"insert into t{number} values (1)")
        copy = Copy(pg, tmp_path, name=f"{pg.name}_{number}", tables=[f"public.t{number}"])
        copy.extract = {"publication": name}
        copy.once()
        pg.execute(f"insert into t{number} values (2)")
        copy.once()
        copy.assert_equal(f"t{number}")
        pg.query(f"select pg_drop_replication_slot('{copy.slot}')")
    assert sorted(name for (name,) in pg.query("select pubname from pg_publication")) == sorted(PUBLICATIONS)


def test_names_that_fold_alike_are_refused_before_anything_is_written(pg: Database, tmp_path: Path) -> None:
    pg.execute('create table t (id int primary key, v int, "V" int)', 'create table "T" (id int primary key)')
    with pytest.raises(ConfigError, match=r"fold|same"):
        Copy(pg, tmp_path).once()
