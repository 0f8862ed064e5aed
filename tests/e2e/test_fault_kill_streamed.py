"""The kill loop once more, with every transaction sent while it goes on (see test_kill_loop)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.kill_loop import Loop, run

from etl_pglib.testing import Database

KILLS = ["snapshot", "handover", "stream", "", "before_flush", "after_flush", "schema_change", "", "", ""]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pg_version", [16, 18])
@pytest.mark.parametrize("load", ["upsert", "append"])
def test_kills_between_what_is_sent_early(pg: Database, pg_version: int, tmp_path: Path, load: str) -> None:
    pg.execute(f"alter database {pg.name} set debug_logical_replication_streaming = 'immediate'")
    loop = Loop(pg, tmp_path, load, random.Random(pg_version))
    run(loop, KILLS, seed=pg_version + 100, pause=0.02)
    sent = pg.query("select sum(stream_count) > 100 from pg_stat_replication_slots")
    assert sent == [(True,)]
