"""PostgreSQL to Snowflake, killed again and again: the target has what the source has, by value.

The vendor's clients talk to the emulator, which goes on; every kill hits the pipeline as a user runs it.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from attrs import define
from support import kill_source
from support.kill_loop import PHASES, Loop, run

from etl_core import Stream
from etl_snowflake import control
from etl_snowflake.emulator import Emulator
from etl_snowflake.names import Names
from etl_snowflake.readback import typed


@define
class Landed:
    """What has landed of the source's tables, read past all clients."""

    emulator: Emulator
    names: Names
    schema: str

    def fetch(self, path: Path) -> None:
        """Write the tables into a DuckDB file, where they can be compared."""
        path.unlink(missing_ok=True)
        with duckdb.connect(path) as connection:
            connection.execute("create schema public")
            for name in kill_source.KEYS:
                rows = self.table(Stream(self.schema, name))
                connection.register("landed", rows)
                connection.execute(f"create table public.{name} as from landed")

    def table(self, stream: Stream) -> pa.Table:
        """Give a stream's rows under the source's names, nested values as such."""
        rows = self.emulator.rows(self.names.table(*self.names.place(stream)))
        kept = {self.names.fold(field.name): field for field in self._kept(stream)}
        return pa.table({kept[name].name: _typed(rows.column(name), kept[name].type) for name in kept})

    def _kept(self, stream: Stream) -> pa.Schema:
        rows = self.emulator.rows(self.names.ours(control.STREAMS)).to_pylist()
        return next(control.columns(row["COLUMNS"]) for row in rows if row["STREAM"] == str(stream))


def _typed(column: pa.ChunkedArray, wanted: pa.DataType) -> Any:
    if isinstance(wanted, pa.JsonType):  # as PostgreSQL writes it
        texts = column.cast(pa.string()).to_pylist()
        return pa.array([None if text is None else json.dumps(json.loads(text)) for text in texts])
    values = typed(column, wanted)
    return values.cast(wanted) if pa.types.is_decimal(values.type) else values


def _loop(
    pg: Any, directory: Path, load: str, streaming: str, emulator: Emulator, chance: random.Random
) -> Loop:
    schema = f"ETL_{pg.name}"
    destination = {
        "use": "snowflake",
        "account": emulator.account,
        "user": emulator.user,
        "role": emulator.role,
        "private_key_path": str(emulator.key),
        "warehouse": emulator.warehouse,
        "database": emulator.database,
        "landing_schema": schema,
        "schema": pg.name,
        "host": emulator.host,
        "port": emulator.port,
        "authorities": str(emulator.authority),
        "streaming": streaming,
        "merge_interval": "1s",
    }
    landed = Landed(emulator, Names(emulator.database, schema), pg.name)
    return Loop(pg, directory, load, chance, destination, landed.fetch)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("load", "streaming", "kills"),
    [
        ("upsert", "sdk", ["snapshot", "after_flush"]),
        ("append", "rest", ["handover", "after_write", ""]),
        pytest.param("upsert", "sdk", ["stream", "after_write", "schema_change", ""], marks=pytest.mark.slow),
        pytest.param("upsert", "off", ["before_flush", ""], marks=pytest.mark.slow),
    ],
)
def test_a_few_kills_lose_nothing(
    pg: Any, tmp_path: Path, emulator: Emulator, load: str, streaming: str, kills: list[str]
) -> None:
    run(_loop(pg, tmp_path, load, streaming, emulator, random.Random(1)), kills, seed=1, pause=0.05)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("load", ["upsert", "append"])
@pytest.mark.parametrize("streaming", ["sdk", "rest"])
def test_kills_in_every_phase_lose_nothing(
    pg: Any, tmp_path: Path, emulator: Emulator, load: str, streaming: str
) -> None:
    chance = random.Random(len(load))
    first = ["snapshot", "handover"]
    then = [place for place in PHASES if place not in first for _ in range(2)] + [""] * 6
    chance.shuffle(then)
    run(_loop(pg, tmp_path, load, streaming, emulator, chance), first + then, seed=7, pause=0.05)
