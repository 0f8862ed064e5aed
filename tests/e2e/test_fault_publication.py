"""A publication that is altered under a pipeline: the copy becomes what is published, or the run ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from support.live import Copy

from etl_core import PositionLostError
from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)

TABLE = "create table t (id int primary key, v int, secret text)"
FILL = "insert into t select n, n, 's' || n from generate_series(1, 20) n"


@pytest.fixture
def copy(pg: Database, tmp_path: Path) -> Copy:
    """A pipeline that reads somebody else's publication and looks at it often."""
    return Copy(pg, tmp_path, extract={"publication": "mine", "refresh": 0.1})


@pytest.mark.parametrize(
    ("before", "after", "kept", "running"),
    [
        ("t where (id % 2 = 0)", "t where (id % 3 = 0)", "where id % 3 = 0", True),
        ("t where (id % 2 = 0)", "t", "", False),
        ("t", "t where (id > 10)", "where id > 10", False),
    ],
)
def test_a_row_filter_that_changes(
    pg: Database, copy: Copy, before: str, after: str, kept: str, running: bool
) -> None:
    pg.execute(TABLE, FILL, f"create publication mine for table {before}")
    copy.once()
    changed = [f"alter publication mine set table {after}", "insert into t values (30, 1, 'x'), (31, 1, 'y')"]
    if running:
        with copy.running() as live:
            live.until(copy.streaming)
            pg.execute(*changed)
            live.until(lambda: live.named("snapshot_finished"))
    else:
        pg.execute(*changed)
    pg.execute("update t set v = v + 100", "insert into t values (40, 1, 'x'), (42, 1, 'y')")
    copy.once()
    assert copy.rows() == pg.query(f"select * from t {kept} order by 1")


def test_rows_that_move_into_a_filter_and_out_of_it(pg: Database, copy: Copy) -> None:
    """Of an update that moves a row the server sends an insert, or a delete."""
    pg.execute(
        TABLE,
        "alter table t replica identity full",
        FILL,
        "create publication mine for table t where (v > 10)",
    )
    copy.once()
    for change in (
        "update t set v = v + 5",
        "update t set v = v - 9, secret = 'again' where id % 2 = 0",
        "update t set id = id + 100 where v > 12",
        "delete from t where v between 9 and 13",
        "insert into t values (50, 3, 'out'), (51, 30, 'in'); update t set v = 50 - v where id in (50, 51)",
    ):
        pg.execute(change)
        copy.once()
        assert copy.rows() == pg.query("select * from t where v > 10 order by 1"), change


@pytest.mark.parametrize(
    ("before", "after", "running"),
    [("(id, v)", "(id, v, secret)", True), ("(id, v, secret)", "(id, v)", True), ("(id, v)", "", False)],
)
def test_a_column_list_that_changes(pg: Database, copy: Copy, before: str, after: str, running: bool) -> None:
    pg.execute(TABLE, FILL, f"create publication mine for table t {before}")
    copy.once()
    changed = [f"alter publication mine set table t {after}", "insert into t values (30, 1, 'x')"]
    if running:
        with copy.running() as live:
            live.until(copy.streaming)
            pg.execute(*changed)
            live.until(lambda: live.named("snapshot_finished"))
    else:
        pg.execute(*changed)
    pg.execute("update t set v = v + 100 where id < 10", "insert into t values (40, 1, 'z')")
    copy.once()
    names = after.strip("()") or "id, v, secret"
    assert copy.rows("t", names) == pg.query(f"select {names} from t order by 1")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the runs of this test log."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]))
    yield lines
    logger.remove(sink)


def test_kinds_of_changes_that_are_not_published_are_told(pg: Database, copy: Copy, said: list[str]) -> None:
    pg.execute(TABLE, FILL, "create publication mine for table t with (publish = 'insert, truncate')")
    warning = "publication mine leaves out kinds of changes: a mirror lacks them"
    for times in (1, 2):
        copy.once()
        assert said.count(warning) == times
    pg.execute("alter publication mine set (publish = 'insert, update, delete, truncate')")
    copy.once()
    assert said.count(warning) == 2


@pytest.mark.parametrize("running", [False, True])
def test_a_table_that_leaves_the_publication_is_told(
    pg: Database, copy: Copy, running: bool, said: list[str]
) -> None:
    pg.execute(TABLE, FILL, "create table u (id int primary key)", "create publication mine for table t, u")
    copy.once()
    left = ["alter publication mine drop table t", "insert into u values (1)"]
    if running:
        with copy.running() as live:
            live.until(copy.streaming)
            pg.execute(*left)
            live.wait_rows(1, "public.u")
    else:
        pg.execute(*left)
    pg.execute("insert into t values (99, 9, 'unseen')", "insert into u values (2)")
    copy.once()
    assert copy.rows("u") == [(1,), (2,)]
    assert "public.t is no longer published: nothing more comes of it" in said
    assert len(copy.rows("t")) == 20
    pg.execute("alter publication mine add table t")
    copy.once()
    copy.assert_equal("t", "u")


@pytest.mark.parametrize("pg_version", [16, 18])
def test_a_publication_made_anew_while_it_is_read(pg: Database, copy: Copy) -> None:
    """What was written while there was none is nowhere in the stream."""
    pg.execute(TABLE, FILL, "create publication mine for table t")
    copy.once()
    with copy.running() as live:
        live.until(copy.streaming)
        pg.execute(
            "drop publication mine",
            "insert into t values (99, 9, 'x')",
            "create publication mine for table t",
        )
        assert isinstance(live.wait_end(), PositionLostError)
    with pytest.raises(PositionLostError):
        copy.once()
    copy.once(on_slot_lost="resnapshot")
    copy.assert_equal()


@pytest.mark.parametrize("policy", ["fail", "resnapshot"])
def test_our_own_publication_is_dropped(pg: Database, copy: Copy, policy: str) -> None:
    pg.execute(TABLE, FILL)
    copy.extract = {"refresh": 0.1, "on_slot_lost": policy}
    copy.once()
    with copy.running() as live:
        live.until(copy.streaming)
        pg.execute(f"drop publication {copy.slot}", "delete from t where id < 5")
        if policy == "fail":
            error = live.wait_end()
            assert isinstance(error, PositionLostError)
            assert "on_slot_lost: resnapshot" in str(error.hint)
        else:
            live.until(lambda: live.named("snapshot_finished"))
    if policy == "resnapshot":
        copy.once()
        copy.assert_equal()


def test_a_publication_of_a_schema_takes_tables_as_they_come(pg: Database, copy: Copy) -> None:
    pg.execute(TABLE, FILL, "create publication mine for tables in schema public")
    copy.once()
    with copy.running() as live:
        live.until(copy.streaming)
        pg.execute("create table u (id int primary key)", "insert into u values (1)")
        live.until(lambda: live.named("snapshot_finished"))
        pg.execute("insert into u values (2)", "delete from t where id < 5")
        live.wait_rows(4)
    pg.execute("drop table u", "create table u (id int primary key, v text)", "insert into u values (7, 'x')")
    copy.once()
    copy.assert_equal("t")
    assert copy.rows("u", "id, v") == [(7, "x")]
