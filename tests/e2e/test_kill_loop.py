"""SIGKILL, again and again, under a writer that never stops: nothing is lost, nothing comes twice.

Every kill hits a pipeline as a user runs it, in a process of its own, at a random moment or at a named
place, and is recorded with the phase it hit. In the end the source's last position is proven reached and
everything is compared by value.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from attrs import define, field
from support import kill_source
from support.kill_compare import check_history, check_mirror
from support.shop import wait_until

#: A place that must be hit, and the phase it stands for.
PHASES = {
    "snapshot": "snapshot",
    "handover": "hand-over",
    "stream": "stream",
    "after_write": "between write and flush",
    "before_flush": "between write and flush",
    "after_flush": "between flush and save",
    "after_save": "after the save",
    "schema_change": "during DDL",
}
CHECKS = {"upsert": check_mirror, "append": check_history}
#: How long a place may take to be reached.
PATIENCE = 100.0


@define
class Loop:
    """A pipeline that is killed."""

    database: Any
    directory: Path
    load: str
    chance: random.Random
    phases: Counter[str] = field(factory=Counter)

    def prepare(self) -> None:
        self.database.execute(kill_source.SCHEMA)
        document = {
            "version": 1,
            "pipeline": self.database.name,
            "extract": {"use": "postgres-cdc", "dsn": self.database.dsn, "tables": ["public.*"]},
            "load": {
                "use": self.load,
                "batch": {"max_rows": 500, "max_wait": "50ms"},
                "commit": {"max_wait": "100ms"},
            },
            "destination": {"use": "duckdb", "path": "copy.duckdb"},
            "state": {"use": "sqlite", "path": "state.db"},
        }
        (self.directory / "pipeline.yaml").write_text(json.dumps(document))

    @contextmanager
    def running(self, *options: str, failpoint: str = "") -> Iterator[subprocess.Popen[str]]:
        """Run it as long as the block; it is dead afterwards."""
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "etl_core.cli", "run", "pipeline.yaml", *options],
                cwd=self.directory,
                env={**os.environ, "ETL_FAILPOINT": failpoint},
                stdout=subprocess.PIPE if options else log,
                stderr=log,
                text=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def kill_at(self, place: str) -> None:
        """Let it run until it dies at a named place."""
        # Snapshots come once: there, later passes may never happen.
        passes = 1 if place in {"snapshot", "handover"} else self.chance.randint(1, 3)
        with self.running(failpoint=f"{place}:{passes}") as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            assert process.returncode == -signal.SIGKILL, f"{place} was not reached: {self.tail()}"
        self.phases[PHASES[place]] += 1

    def kill_somewhere(self) -> None:
        """Let it run for a while after it has begun."""
        before = len(self.log())
        with self.running() as process:
            wait_until(lambda: ": started" in self.log()[before:], PATIENCE)
            with suppress(subprocess.TimeoutExpired):
                process.wait(self.chance.uniform(0.0, 1.5))
        assert process.returncode == -signal.SIGKILL, self.tail()
        said = self.log()[before:]
        copying = said.count("snapshot") > 2 * said.count(" finished")
        self.phases["snapshot" if copying else "stream"] += 1

    def catch_up(self) -> dict[str, Any]:
        with self.running("--once", "--json") as process:
            output, _ = process.communicate(timeout=PATIENCE * 2)
            assert process.returncode == 0, self.tail()
        result: dict[str, Any] = json.loads(output)
        return result

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def tail(self) -> str:
        return "\n".join(self.log().splitlines()[-20:])


@contextmanager
def writing(dsn: str, seed: int, pause: float) -> Iterator[subprocess.Popen[str]]:
    """A writer in a process of its own; it ends when the block does, and must not have failed."""
    command = [sys.executable, kill_source.__file__, dsn, str(seed), str(pause)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
        assert process.poll() is None, "the writer stopped"
    finally:
        output, _ = process.communicate()
    assert process.returncode == 0, output


def lsn(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def run(loop: Loop, kills: list[str], seed: int, *, pause: float) -> None:
    """Kill the pipeline at each of these places ("": somewhere), catch up, compare."""
    loop.prepare()
    with writing(loop.database.dsn, seed, pause):
        wait_until(lambda: loop.database.query("select count(*) > 200 from audit.ledger")[0][0])
        for place in kills:
            loop.kill_at(place) if place else loop.kill_somewhere()
    ((end,),) = loop.database.query("select pg_current_wal_lsn()::text")
    result = loop.catch_up()
    assert lsn(result["position"]["value"]["lsn"]) >= lsn(end)
    assert not result["rejected"]
    assert CHECKS[loop.load](loop.database, loop.directory / "copy.duckdb") > 100
    assert sum(loop.phases.values()) == len(kills)


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
