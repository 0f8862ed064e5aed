"""Resuming: from any position exactly the rest, whatever was going on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from cdc_harness import Harness, plain, rows_of, seqs

from etl_core import OP, Batch, ConfigError, Kind, StateError, Stream
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database
from etl_postgres_cdc import decoding

Make = Callable[..., Harness]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut after few rows, so that small tests have many positions."""
    monkeypatch.setattr(decoding, "MAX_ROWS", 3)


def what(batches: list[Batch]) -> list[Any]:
    """Return what matters to a destination, rows one by one and in order per stream."""
    said: dict[str, list[Any]] = {}
    for batch in batches:
        if batch.kind is Kind.ROWS:
            said.setdefault(str(batch.stream), []).extend(map(repr, rows_of([batch])))
        elif batch.stream is not None and (batch.kind is not Kind.SCHEMA or batch.changes):
            own = said.setdefault(str(batch.stream), [])
            own.append((batch.kind, batch.seq, repr(batch.changes), repr(batch.schema)))
    return sorted(said.items())


def test_from_every_position_comes_exactly_the_rest(pg: Database, cdc: Make, small_batches: None) -> None:
    pg.execute(
        "create table a (id int primary key, v text)",
        "create table b (id int primary key, v text)",
        "insert into a select n, 'a' from generate_series(1, 4) n",
    )
    source = cdc()
    source.once()
    start = source.position
    pg.execute(
        "insert into a select n, 'big' from generate_series(10, 20) n; insert into b values (1, 'b')",
        "insert into b values (2, 'b')",
        "truncate b; insert into b values (3, 'b'); update a set v = 'x' where id < 3",
        "insert into a values (30, 'x'); alter table a add column w int default 7;"
        " insert into a values (31, 'x', 1), (32, 'x', 2), (33, 'x', 3), (34, 'x', 4)",
        "begin; insert into b values (4, 'b'); savepoint s; insert into b values (5, 'b');"
        " rollback to s; insert into b values (6, 'b'); commit",
        "update a set id = 100 where id = 10",
        "alter table a rename column v to u",
        "delete from a where id > 30",
    )
    whole = source.once(start)
    positions = [index for index, batch in enumerate(whole) if batch.position is not None]
    assert len(positions) > 10
    assert any(not whole[index].complete for index in positions)
    for index in positions:
        batch = whole[index]
        rest = whole[index:] if batch.kind is Kind.SCHEMA else whole[index + 1 :]
        assert what(cdc().once(batch.position)) == what(rest), batch


def test_an_unfinished_table_is_copied_anew_and_finished_ones_are_not(
    pg: Database, cdc: Make, small_batches: None
) -> None:
    pg.execute(
        "create table a (id int primary key)", "insert into a select generate_series(1, 5)",
        "create table b (id int primary key)", "insert into b select generate_series(1, 9)",
    )  # fmt: skip
    source = cdc().start()
    source.until(lambda: rows_of(source.batches, "public.b"))
    assert source.position["streams"]["public.a"]["snapshot"]
    assert source.position["streams"]["public.b"]["snapshot"] is None
    source.stop()
    pg.execute("insert into a values (6)", "insert into b values (10)")
    again = cdc().start(source.position)
    again.rows(11)
    kinds = [(batch.kind, str(batch.stream)) for batch in again.batches if batch.kind is not Kind.ROWS]
    assert kinds == [(Kind.SNAPSHOT_BEGIN, "public.b"), (Kind.SNAPSHOT_END, "public.b")]
    assert plain(rows_of(again.batches, "public.a")) == [("i", 6)]
    assert len(rows_of(again.batches, "public.b")) == 10
    assert (again.batches[0].seq or b"") > (source.batches[-1].seq or b"")


@pytest.mark.parametrize("pg_version", [16, 18])
def test_writers_during_the_snapshot_leave_no_gap_and_no_duplicate(
    pg: Database, cdc: Make, small_batches: None
) -> None:
    pg.execute(
        "create table t (id int primary key, v int)", "create table s (id int primary key, v int)",
        "insert into t select n, 0 from generate_series(1, 60) n",
        "insert into s select n, 0 from generate_series(1, 60) n",
    )  # fmt: skip
    stop = threading.Event()

    def write() -> None:
        with pg.connect() as other:
            for number in range(10_000):
                if stop.is_set():
                    return
                other.execute(
                    "with a as (update t set v = v + 1 where id = 1 + %(n)s %% 60), "
                    "b as (insert into s values (100 + %(n)s, 0)) delete from s where id = 100 + %(n)s - 7",
                    {"n": number},
                )

    writer = threading.Thread(target=write)
    source = cdc().start()
    writer.start()
    try:
        source.until(lambda: len([b for b in source.batches if b.kind is Kind.SNAPSHOT_END]) == 2)
        source.until(lambda: len([r for r in rows_of(source.batches[-50:]) if r[OP] == "u"]) > 5)
    finally:
        stop.set()
        writer.join()
    source.stop()
    source.once(source.position)
    for table in ("t", "s"):
        mirror: dict[int, int] = {}
        for row in rows_of(source.batches, f"public.{table}"):
            if row[OP] in "ri":
                assert row["id"] not in mirror, "an insert came twice"
            elif row[OP] == "u" and table == "t":
                assert row["v"] == mirror[row["id"]] + 1, "an update is missing or came twice"
            if row[OP] == "d":
                del mirror[row["id"]]
            else:
                mirror[row["id"]] = row["v"]
        assert mirror == dict(pg.query(f"select id, v from {table}"))


def test_resync_copies_one_table_again(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table a (id int primary key)", "create table b (id int primary key)",
        "insert into a values (1)", "insert into b values (1)",
    )  # fmt: skip
    source = cdc()
    source.once()
    pg.execute("insert into a values (2)", "insert into b values (2)")
    value = source.source.resync(source.position, [Stream("public", "a")])
    batches = source.once(value)
    assert plain(rows_of(batches, "public.a")) == [("r", 1), ("r", 2)]
    assert plain(rows_of(batches, "public.b")) == [("i", 2)]
    with pytest.raises(ConfigError, match="not one that this pipeline reads"):
        source.source.resync(source.position, [Stream("public", "c")])


def test_a_table_that_joins_is_copied_without_a_restart(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)")
    source = cdc("public.*", refresh=0.05).start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("create table b (id int primary key)", "insert into b values (1)", "insert into a values (1)")
    source.until(lambda: len([x for x in source.batches if x.kind is Kind.SNAPSHOT_END]) == 2)
    pg.execute("insert into b values (2)", "insert into a values (2)")
    source.rows(4)
    assert plain(rows_of(source.batches, "public.b")) == [("r", 1), ("i", 2)]
    assert plain(rows_of(source.batches, "public.a")) == [("i", 1), ("i", 2)]


def test_a_table_that_joins_anothers_publication_is_copied(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table a (id int primary key)", "create table b (id int primary key)",
        "insert into b values (1)", "create publication mine for table a",
    )  # fmt: skip
    source = cdc("public.*", publication="mine", refresh=3600.0).start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("alter publication mine add table b", "insert into b values (2)")
    source.rows(2)
    pg.execute("insert into b values (3)")
    assert plain(source.rows(3, "public.b")) == [("r", 1), ("r", 2), ("i", 3)]


def test_a_table_that_is_dropped_while_it_joins_is_left_out(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)")
    source = cdc(refresh=0.05).start()
    source.batch(Kind.SNAPSHOT_END)
    with pg.connect(autocommit=False) as other:
        pg.execute("create table b (id int primary key)")
        other.execute("drop table b")
        drop = threading.Timer(0.5, other.commit)
        drop.start()
        source.until(lambda: not drop.is_alive())
    pg.execute("insert into a values (1)")
    assert plain(source.rows(1)) == [("i", 1)]


def test_tables_that_inherit_are_taken_for_themselves(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table a (id int primary key)", "create table b () inherits (a)",
        "create table c (primary key (id)) inherits (a)", "insert into c values (1)",
    )  # fmt: skip
    source = cdc("public.c")
    source.once()
    pg.execute("update b set id = 2", "insert into a values (3)", "insert into c values (4)")
    other = cdc("public.[ac]")
    assert plain(rows_of(other.once(source.position))) == [("r", 3), ("i", 4)]
    pg.execute("insert into b values (5)", "update b set id = 6")
    assert rows_of(other.once(other.position)) == []


def test_a_table_that_left_and_came_back_is_copied_again(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)", "create publication mine for table a")
    source = cdc(publication="mine")
    source.once()
    pg.execute(
        "alter publication mine drop table a",
        "insert into a values (1)",
        "alter publication mine add table a",
        "insert into a values (2)",
    )
    assert plain(rows_of(source.once(source.position))) == [("r", 1), ("r", 2)]


def test_a_table_made_anew_is_copied_again(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key, v text)", "create publication mine for all tables")
    source = cdc(publication="mine", refresh=3600.0).start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute(
        "insert into a values (1, 'old')",
        "drop table a",
        "create table a (id bigint primary key)",
        "insert into a values (2)",
    )
    source.rows(2)
    pg.execute("insert into a values (3)")
    assert plain(source.rows(3)) == [("i", 1, "old"), ("r", 2), ("i", 3)]


@pytest.mark.parametrize("between", [True, False])
def test_a_table_that_had_another_name_meanwhile_is_copied_again(
    pg: Database, cdc: Make, between: bool
) -> None:
    pg.execute("create table a (id int primary key)", "insert into a values (1)")
    source = cdc("public.a" if between else "public.*")
    source.once()
    pg.execute("alter table a rename to b", "insert into b values (2)")
    if between:
        assert rows_of(source.once(source.position)) == []
    pg.execute("alter table b rename to a", "insert into a values (3)")
    batches = source.once(source.position)
    begin = next(i for i, batch in enumerate(batches) if batch.kind is Kind.SNAPSHOT_BEGIN)
    assert str(batches[begin].stream) == "public.a"
    assert plain(rows_of(batches[begin:], "public.a")) == [("r", 1), ("r", 2), ("r", 3)]


def test_never_streams_from_the_slots_start(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)", "insert into a values (1)")
    source = cdc(snapshot="never").start()
    source.batch(Kind.PROGRESS)
    pg.execute("insert into a values (2)")
    assert plain(source.rows(1)) == [("i", 2)]
    source.stop()
    assert source.once(source.position) == [] or source.batches[-1].kind is Kind.PROGRESS


def test_never_uses_what_an_existing_slot_holds(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)", "create publication mine for table a")
    pg.query("select pg_create_logical_replication_slot('own_slot', 'pgoutput')")
    pg.execute("insert into a values (1)", "alter table a add v int", "insert into a values (2, 2)")
    source = cdc(snapshot="never", publication="mine", slot="own_slot")
    batches = source.once()
    rows = rows_of(batches)
    assert [(row["id"], row.get("v", "none yet")) for row in rows] == [(1, "none yet"), (2, 2)]
    changes: list[Any] = [change for batch in batches for change in batch.changes]
    assert [change.name for change in changes] == ["v"]


def test_an_existing_slot_is_taken_without_a_gap(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)", "create publication mine for table a")
    pg.query("select pg_create_logical_replication_slot('own_slot2', 'pgoutput')")
    pg.execute("insert into a values (1)")
    source = cdc(publication="mine", slot="own_slot2").start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("insert into a values (2)")
    assert plain(source.rows(2)) == [("r", 1), ("i", 2)]


def test_only_copies_and_leaves_nothing(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int)", "insert into a values (1)")
    source = cdc(snapshot="only")
    assert source.source.latest(source.context()) is None
    batches = source.once()
    assert [batch.kind for batch in batches] == [Kind.SNAPSHOT_BEGIN, Kind.ROWS, Kind.SNAPSHOT_END]
    assert pg.query("select slot_name from pg_replication_slots where database = current_database()") == []
    assert pg.query("select pubname from pg_publication") == []
    assert source.once(source.position) == []


def test_once_ends_where_all_tables_fit_each_other(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)", "insert into a values (1)")
    source = cdc()
    batches = source.once()
    assert batches[-1].complete
    assert batches[-1].position is not None
    snapshot = source.position["streams"]["public.a"]["snapshot"]
    assert source.position["lsn"] >= snapshot
    assert source.once(source.position)[-1:] in ([], source.batches[-1:])


def test_a_strange_position_is_refused(cdc: Make) -> None:
    strange: list[Any] = [{}, [], {"version": 99}, "x", {"version": 1, "lsn": 5}]
    for value in strange:
        with pytest.raises(StateError, match="not one of postgres-cdc"):
            cdc().start(value).next()


def test_settings_must_not_change_inside_a_transaction(pg: Database, cdc: Make, small_batches: None) -> None:
    pg.execute("create table a (id int primary key)")
    source = cdc("public.*")
    source.once()
    pg.execute("insert into a select generate_series(1, 9)")
    cut = next(batch.position for batch in source.once(source.position) if not batch.complete)
    with pytest.raises(Exception, match="settings changed inside a transaction"):
        cdc("public.a").start(cut).next()
    assert len(seqs(cdc("public.*").once(cut))) == 6


def test_an_epoch_is_the_contexts(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)", "insert into a values (1)")
    source = cdc()
    source.once(epoch=3)
    source.once(epoch=4)
    assert [seq[:4] for _, seq in seqs(source.batches)] == [b"\0\0\0\3"] * 3 + [b"\0\0\0\4"] * 3


def test_a_transaction_of_other_tables_that_is_sent_in_progress_ends_no_skipping(
    pg_private: Callable[..., EmbeddedPostgres], small_batches: None
) -> None:
    """Whether the server sends one in progress depends on its memory, also between two reads."""
    server = pg_private(settings={"wal_level": "logical"})
    database = Database("one", server.create_database("one"), server)
    database.execute("create table t (id int primary key)", "create table other (id int, x text)")
    source = Harness(database.dsn, ["public.t"]).start()
    source.batch(Kind.SNAPSHOT_END)
    source.ack()
    before = source.position
    source.stop()
    database.execute(
        "insert into other select g, repeat('x', 200) from generate_series(1, 5000) g",
        "insert into t select generate_series(1, 20)",
    )
    source.batches.clear()
    source.start(before)
    source.until(lambda: len(rows_of(source.batches)) >= 6 and source.position["transaction"])
    source.stop()
    cut, first = source.position, [row["id"] for row in rows_of(source.batches)]
    database.execute("alter system set logical_decoding_work_mem = '64kB'", "select pg_reload_conf()")
    deadline = time.monotonic() + 30
    while database.query("show logical_decoding_work_mem") != [("64kB",)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    source.batches.clear()
    source.start(cut)
    source.until(lambda: source.position["transaction"] is None)
    second = [row["id"] for row in rows_of(source.batches)]
    source.close()
    assert first + second == list(range(1, 21))
