"""Estimates of rows: near the truth where something is known, none where nothing is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from cdc_harness import Harness

from etl_pglib.testing import Database
from etl_postgres_cdc import estimates as module
from etl_postgres_cdc.estimates import estimate
from etl_postgres_cdc.session import Session

Make = Callable[..., Harness]


def estimated(cdc: Make, *tables: str) -> dict[str, int | None]:
    source = cdc(*tables)
    return {info.stream.name: info.estimate for info in source.source.streams(source.context())}


@pytest.mark.parametrize("pg_version", [16, 18])
def test_analysed_tables_are_scaled_to_their_size_now(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key, v text) with (autovacuum_enabled = off)",
        "insert into t select n, repeat('x', 50) from generate_series(1, 10000) n",
        "analyze t",
    )
    assert estimated(cdc)["t"] == pytest.approx(10_000, rel=0.02)
    pg.execute("insert into t select n, repeat('x', 50) from generate_series(10001, 30000) n")
    assert estimated(cdc)["t"] == pytest.approx(30_000, rel=0.05)


def test_tables_that_were_never_analysed_are_estimated_by_size(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key, b bigint, v text) with (autovacuum_enabled = off)",
        "insert into t select n, n, repeat('x', 25) from generate_series(1, 50000) n",
        "create table empty (id int primary key)",
    )
    found = estimated(cdc)
    assert found["t"] == pytest.approx(50_000, rel=0.5)
    assert found["empty"] == 0


def test_a_partitioned_table_has_the_rows_of_its_leaves(pg: Database, cdc: Make) -> None:
    off = "with (autovacuum_enabled = off)"
    pg.execute(
        "create table t (id int primary key, v text) partition by range (id)",
        f"create table t1 partition of t for values from (0) to (1000) {off}",
        "create table t2 partition of t for values from (1000) to (100000) partition by range (id)",
        f"create table t21 partition of t2 for values from (1000) to (3000) {off}",
        f"create table t22 partition of t2 for values from (3000) to (100000) {off}",
        "insert into t select n, repeat('x', 28) from generate_series(1, 4999) n",
        "analyze t1",
        "analyze t21",
    )
    assert estimated(cdc) == {"t": pytest.approx(5000, rel=0.4)}
    pg.execute("analyze t22")
    assert estimated(cdc) == {"t": pytest.approx(5000, rel=0.02)}


def test_a_filtered_table_has_no_estimate(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key)",
        "create table u (id int primary key)",
        "insert into t select generate_series(1, 1000)",
        "create publication chosen for table t where (id > 990), u",
    )
    source = cdc("public.*", publication="chosen")
    found = {info.stream.name: info.estimate for info in source.source.streams(source.context())}
    assert found == {"t": None, "u": 0}
    with closing(Session(source.config, source.context())) as session:
        asked = {table.stream.name: estimate(session.catalog, table) for table in session.tables()}
    assert asked == found


def test_a_locked_table_is_not_waited_for(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key)",
        "create table fresh (id int primary key) with (autovacuum_enabled = off)",
        "insert into t select generate_series(1, 1000)",
        "insert into fresh select generate_series(1, 1000)",
        "analyze t",
    )
    with pg.connect(autocommit=False) as blocker:
        blocker.execute("lock table t in access exclusive mode")
        assert estimated(cdc) == {"t": 1000, "fresh": None}
    assert estimated(cdc)["fresh"]


def test_what_the_planner_would_say() -> None:
    assert module._rows(1000, 10, 20 * 8192.0, 8192, 100) == 2000
    assert module._rows(1000, 10, None, 8192, 100) == 1000
    assert module._rows(0, 0, 8192.0, 8192, 32) == 256
    assert module._rows(-1, 0, None, 8192, 32) is None
