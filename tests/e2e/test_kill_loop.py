"""SIGKILL, again and again, under a writer that never stops: nothing is lost, nothing comes twice."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.kill_loop import CHECKS, PHASES, Loop, run

#: By disposition: what may be wrong with a copy, as SQL that makes it so.
FAULTS = {
    "upsert": (
        "delete from public.accounts where id = (select min(id) from public.accounts)",
        "insert into public.accounts from public.accounts limit 1",
        "update public.documents set body = 'x' where code = (select max(code) from public.documents)",
        "update public.events set tag = tag || ' '",
    ),
    "append": (
        "delete from public.accounts where _etl_seq = (select max(_etl_seq) from public.accounts)",
        "delete from public.accounts where _etl_seq = (select min(_etl_seq) from public.accounts)",
        "insert into public.events from public.events limit 1",
        "update public.documents set body = body || ' '",
    ),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("load", "kills"),
    [
        ("upsert", ["snapshot", "before_flush", "after_flush", "schema_change"]),
        ("append", ["handover", "stream", ""]),
    ],
)
def test_a_few_kills_lose_nothing(pg: Any, tmp_path: Path, load: str, kills: list[str]) -> None:
    run(Loop(pg, tmp_path, load, random.Random(1)), kills, seed=1, pause=0.02)
    for fault in FAULTS[load]:
        faulty = Path(shutil.copy(tmp_path / "copy.duckdb", tmp_path / "faulty.duckdb"))
        with duckdb.connect(faulty) as connection:
            connection.execute(fault)
        with pytest.raises(AssertionError):  # a fault that is not seen makes the check worthless
            CHECKS[load](pg, faulty)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("pg_version", [16, 18])
@pytest.mark.parametrize("load", ["upsert", "append"])
def test_thirty_kills_in_every_phase_lose_nothing(
    pg: Any, pg_version: int, tmp_path: Path, load: str
) -> None:
    chance = random.Random(pg_version)
    first = ["snapshot", "snapshot", "handover", "handover"]  # none lets all three tables finish
    then = [place for place in PHASES if place not in first for _ in range(2)] + [""] * 14
    chance.shuffle(then)
    loop = Loop(pg, tmp_path, load, chance)
    run(loop, first + then, seed=pg_version, pause=0.02)
    print(f"kills by phase: {dict(loop.phases)}")
    assert sum(loop.phases.values()) >= 30
    assert all(loop.phases[phase] >= 2 for phase in PHASES.values()), loop.phases
