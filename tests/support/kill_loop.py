"""A pipeline that is killed again and again under a writer that never stops, then caught up and compared.

Every kill hits a pipeline as a user runs it, in a process of its own, at a random moment or at a named
place, and is recorded with the phase it hit. In the end the source's last position is proven reached and
everything is compared by value.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, field
from support import kill_source
from support.kill_compare import check_history, check_mirror
from support.shop import wait_until

__all__ = ["CHECKS", "PATIENCE", "PHASES", "Loop", "run"]

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
    destination: Mapping[str, Any] = field(factory=lambda: {"use": "duckdb", "path": "copy.duckdb"})
    #: Puts what is at the destination into a DuckDB file, for the comparison; it may be there already.
    fetch: Callable[[Path], None] = lambda path: None
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
            "destination": dict(self.destination),
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
    copy = loop.directory / "copy.duckdb"
    loop.fetch(copy)
    assert CHECKS[loop.load](loop.database, copy) > 100
    assert sum(loop.phases.values()) == len(kills)
