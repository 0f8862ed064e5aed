"""Tables as they are found: partitioned, with generated columns, without a key, dropped and made anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.live import Copy

from etl_core import ConfigError, SchemaError, run_document
from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)

PARTITIONED = (
    "create table t (id int, at int, v text, primary key (id, at)) partition by range (at)",
    "create table t1 partition of t for values from (0) to (10)",
    "create table t2 (v text, at int not null, gone int, id int not null, primary key (id, at))",
    "alter table t2 drop gone",
    "alter table t attach partition t2 for values from (10) to (20)",
    "insert into t values (1, 1, 'a'), (2, 11, 'b')",
)
MOVES = (
    "insert into t values (3, 5, 'c'), (4, 15, 'd')",
    "update t set at = at + 10 where id = 3",
    "update t set v = 'e'",
    "delete from t where id = 4",
)


@pytest.fixture
def copy(pg: Database, tmp_path: Path) -> Copy:
    return Copy(pg, tmp_path, extract={"refresh": 0.1})


def test_partitions_as_their_table_come_and_go(pg: Database, copy: Copy) -> None:
    pg.execute(*PARTITIONED)
    copy.once()
    pg.execute(
        *MOVES,
        "create table t3 partition of t for values from (20) to (30)",
        "insert into t values (5, 25, 'f')",
        "update t set at = 26 where id = 1",
    )
    copy.once()
    copy.assert_equal("t")
    pg.execute("truncate t", "insert into t values (9, 9, 'last')")
    copy.once()
    copy.assert_equal("t")


def test_partitions_for_themselves_come_and_go(pg: Database, copy: Copy) -> None:
    pg.execute(*PARTITIONED, "create publication mine for table t")
    copy.extract = {"publication": "mine", "refresh": 0.1}
    copy.once()
    copy.assert_equal("t1", "t2")
    with copy.running() as live:
        live.until(copy.streaming)
        pg.execute(
            *MOVES,
            "create table t3 partition of t for values from (20) to (30)",
            "insert into t values (5, 25, 'f')",
        )
        live.until(lambda: live.named("snapshot_finished"))
        pg.execute("update t set at = 26 where id = 1", "alter table t detach partition t2", "drop table t2")
        live.wait_rows(2, "public.t3")
    pg.execute("truncate t", "insert into t values (9, 9, 'last')")
    copy.once()
    copy.assert_equal("t1", "t3")
    assert copy.select("select count(*) from information_schema.tables where table_name = 't'") == [(0,)]


@pytest.mark.parametrize("root", [True, False])
def test_a_publication_that_turns_to_partitions_or_from_them(pg: Database, copy: Copy, root: bool) -> None:
    pg.execute(
        *PARTITIONED, f"create publication mine for table t with (publish_via_partition_root = {root})"
    )
    copy.extract = {"publication": "mine", "refresh": 0.1}
    copy.once()
    with copy.running() as live:
        live.until(copy.streaming)
        pg.execute(f"alter publication mine set (publish_via_partition_root = {not root})")
        live.until(lambda: len(live.named("snapshot_finished")) == (2 if root else 1))
        pg.execute(*MOVES)
    copy.once()
    copy.assert_equal(*(("t1", "t2") if root else ("t",)))


GENERATED = (
    "create table t (id int primary key, v int, twice int generated always as (v * 2) stored, w text)",
    "insert into t (id, v, w) values (1, 1, 'a'), (2, null, 'b')",
)
CHANGES = (
    "insert into t (id, v, w) values (3, 3, 'c')",
    "update t set v = 10 where id = 1",
    "update t set w = 'x' where id = 2",
)


def test_generated_columns_are_left_out(pg: Database, copy: Copy) -> None:
    pg.execute(*GENERATED)
    copy.once()
    pg.execute(*CHANGES, "alter table t add thrice int generated always as (v * 3) stored")
    copy.once()
    pg.execute("insert into t (id, v, w) values (4, 4, 'd')", "alter table t alter thrice drop expression")
    pg.execute("insert into t (id, v, w, thrice) values (5, 5, 'e', 50)")
    copy.once()
    assert copy.rows("t", "id, v, w") == pg.query("select id, v, w from t order by 1")
    assert copy.rows("t", "id, thrice")[-1] == (5, 50)


@pytest.mark.parametrize("pg_version", [18])
@pytest.mark.parametrize(
    "publication",
    ["for table t with (publish_generated_columns = stored)", "for table t (id, v, twice, w)"],
)
def test_generated_columns_that_are_published(pg: Database, copy: Copy, publication: str) -> None:
    pg.execute(
        *GENERATED,
        "alter table t add unseen int generated always as (v + 1) virtual",
        f"create publication mine {publication}",
    )
    copy.extract = {"publication": "mine"}
    copy.once()
    pg.execute(*CHANGES)
    copy.once()
    assert copy.rows("t") == pg.query("select id, v, twice, w from t order by 1")


@pytest.mark.parametrize("pg_version", [18])
def test_generated_columns_that_come_to_be_published(pg: Database, copy: Copy) -> None:
    pg.execute(*GENERATED, "create publication mine for table t")
    copy.extract = {"publication": "mine", "refresh": 0.1}
    copy.once()
    pg.execute("alter publication mine set (publish_generated_columns = stored)", *CHANGES)
    with pytest.raises(SchemaError, match="changed without being sent"):
        copy.once()
    document = copy.document()
    document["load"]["on_rewrite"] = "resnapshot"
    run_document(document, once=True)
    assert copy.rows("t", "id, v, twice, w") == pg.query("select id, v, twice, w from t order by 1")


def test_a_table_without_a_key_is_a_history_and_no_mirror(pg: Database, copy: Copy) -> None:
    pg.execute(
        "create table t (a int, b text)",
        "alter table t replica identity full",
        "insert into t values (1, 'x'), (1, 'x'), (null, 'y')",
    )
    copy.load = "append"
    copy.once()
    pg.execute(
        "update t set b = 'z' where a is null", "delete from t where a = 1", "insert into t values (2, 'n')"
    )
    copy.once()
    rows = copy.select("select _etl_op::varchar, a, b from public.t order by _etl_seq")
    assert rows == [
        *[("r", 1, "x"), ("r", 1, "x"), ("r", None, "y")],
        *[("u", None, "z"), ("d", 1, "x"), ("d", 1, "x"), ("i", 2, "n")],
    ]
    mirror = Copy(pg, copy.directory, name="mirror_of_it")
    with pytest.raises(ConfigError, match="key"):
        mirror.once()


@pytest.mark.parametrize("running", [True, False])
def test_a_table_dropped_and_made_anew(pg: Database, copy: Copy, running: bool) -> None:
    pg.execute("create table t (id int primary key, v text)", "insert into t values (1, 'old'), (2, 'old')")
    copy.once()
    anew = [
        "update t set v = 'older' where id = 1",
        "drop table t",
        "create table t (id int primary key, v text)",
        "insert into t values (2, 'new'), (3, 'new')",
    ]
    if running:
        with copy.running() as live:
            live.until(copy.streaming)
            pg.execute(*anew)
            live.until(lambda: live.named("snapshot_finished"))
            pg.execute("insert into t values (4, 'then')")
            live.wait_rows(1, beyond=live.written())
    else:
        pg.execute(*anew)
    pg.execute("insert into t values (5, 'last')")
    copy.once()
    copy.assert_equal()


def test_a_column_whose_type_changes(pg: Database, copy: Copy) -> None:
    """A wider type is followed; another one needs a new copy, for which `on_rewrite` asks."""
    pg.execute("create table t (id int primary key, n int, s text)", "insert into t values (1, 1, '1')")
    copy.once()
    pg.execute("alter table t alter n type bigint", "insert into t values (2, 3000000000, '2')")
    copy.once()
    copy.assert_equal()
    pg.execute("alter table t alter s type int using s::int", "insert into t values (3, 3, 3)")
    document = copy.document()
    document["load"]["on_rewrite"] = "resnapshot"
    with copy.running(document) as live:
        live.until(lambda: live.named("snapshot_finished"))
        pg.execute("insert into t values (4, 4, 4)")
        live.wait_rows(1, beyond=live.written())
    assert [(a, b, str(c)) for a, b, c in copy.rows()] == [
        (a, b, str(c)) for a, b, c in pg.query("select * from t order by 1")
    ]
