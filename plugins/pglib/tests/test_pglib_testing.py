from __future__ import annotations

import pytest

from etl_pglib.testing import Database


@pytest.mark.parametrize("pg_version", [16, 18])
def test_database_is_on_the_asked_version_and_decodes(pg: Database, pg_version: int) -> None:
    assert pg.query("show server_version_num")[0][0].startswith(str(pg_version))
    assert pg.query("select current_database()") == [(pg.name,)]
    assert pg.query("show wal_level") == [("logical",)]


def test_database_with_a_slot_and_open_connections_is_dropped(pg: Database) -> None:
    pg.query("select pg_create_logical_replication_slot('left_behind', 'pgoutput')")
    connection = pg.connect()
    connection.execute("select 1")
    connection.close()
