"""Accidents that only POSIX systems know; conftest.py leaves them out elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from etl_core import AuthError


@pytest.mark.parametrize("what", ["directory", "file", "unreachable"])
def test_what_may_not_be_written_is_said(make_ducks: Any, what: str) -> None:
    with tempfile.TemporaryDirectory() as root, make_ducks(Path(root)) as make:
        duck = make("x.duckdb")
        if what == "file":
            duck.open().close()
            duck.path.chmod(0o400)
        Path(root).chmod({"directory": 0o555, "file": 0o777, "unreachable": 0o000}[what])
        with unprivileged():
            for call in (duck.destination.check, lambda context: duck.destination.open(context, "fence")):
                with pytest.raises(AuthError) as error:
                    call(duck.context)
                assert error.value.facts["path"] == str(duck.path)
        Path(root).chmod(0o700)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Give up root's right to write anywhere, where the tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


#: Writes until a file may not grow, then lets it grow again and says what is durable.
FULL = """
import json, resource, signal, sys
from pathlib import Path
import pyarrow as pa
from etl_core import EtlError, Mode, Position, Stream, TableSchema, Write
from etl_duckdb.config import DuckDBConfig
from etl_duckdb.destination import DuckDBDestination

class Context:
    pipeline = "shop"

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
orders, schema = Stream("shop", "orders"), pa.schema([("id", pa.int64()), ("note", pa.string())])
destination = DuckDBDestination(DuckDBConfig(Path(sys.argv[1])))
destination.open(Context(), "fence")
destination.ensure(TableSchema(orders, schema), ())
destination.flush(Position(1, 0, 0))
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), limit[1]))
n = 0
try:
    while n < 100:
        ids = range(n * 20000, n * 20000 + 20000)
        notes = [f"{i * 7919 % 1000003:x}" * 5 for i in ids]
        destination.write(Write(orders, Mode.APPEND, pa.table([pa.array(ids), notes], schema=schema)))
        destination.flush(Position(1, n + 1, n + 1))
        n += 1
    caught = None
except EtlError as error:
    caught = error
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
destination.abort()
destination.close()
destination.open(Context(), "fence")
position = destination.resume_position()
rows = destination._db().rows("SELECT count(*), count(DISTINCT id), max(id) FROM shop.orders")
destination.write(Write(orders, Mode.APPEND, pa.table([pa.array([-1]), ["x"]], schema=schema)))
destination.flush(Position(1, 999, 999))
destination.close()
print(json.dumps([type(caught).__name__, str(caught), caught and caught.hint, n, position.value, rows[0]]))
"""


@pytest.mark.parametrize("megabytes", [4, 9])
def test_a_full_disk_loses_nothing(tmp_path: Path, megabytes: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "full.duckdb"), str(megabytes << 20)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kind, text, hint, flushed, position, (count, distinct, highest) = json.loads(done.stdout)
    assert (kind, hint is not None) == ("RetryableError", True), text
    assert "disk is full" in text
    assert position in {flushed, flushed + 1}
    assert (count, distinct) == (position * 20000, position * 20000)
    assert highest is None or highest == count - 1


#: Works from the position it finds, telling what it does.
WORKER = """
import sys
from pathlib import Path
import pyarrow as pa
from etl_core import *
from etl_duckdb.config import DuckDBConfig
from etl_duckdb.destination import DuckDBDestination

class Context:
    pipeline = "shop"

orders = Stream("shop", "orders")

def schema(n):
    extra = [(f"x{m}", pa.int64()) for m in range(5, n + 1, 5)]
    return pa.schema([("id", pa.int64()), ("note", pa.string()), *extra])

def rows(n, op, ids):
    columns = schema(n)
    data = {"id": pa.array(ids), "note": pa.array([f"{n} {i}" for i in ids])}
    for name in columns.names[2:]:
        data[name] = pa.array([n] * len(ids))
    table = pa.table(data).cast(columns)
    return pa.Table.from_batches([add_reserved(batch, ["id"], op) for batch in table.to_batches()])

def work(destination, n):
    if n % 5 == 0:
        change = AddColumn(f"x{n}", pa.int32(), n)
        destination.ensure(TableSchema(orders, schema(n), ("id",), None, pack_seq(1, n, 0)), [change])
        wider = TableSchema(orders, schema(n), ("id",), None, pack_seq(1, n, 1))
        destination.ensure(wider, [WidenColumn(f"x{n}", pa.int64())])
    if n % 7 == 3:
        destination.write(Write(orders, Mode.MERGE, step=Step.BEGIN))
    if n % 7 in (3, 4, 5):
        destination.write(Write(orders, Mode.MERGE, rows(n, "r", range(n, n + 200)), Step.ROWS))
    if n % 7 == 6 and n > 6:
        destination.write(Write(orders, Mode.MERGE, step=Step.END))
    destination.write(Write(orders, Mode.MERGE, rows(n, "u", [i * 37 % 900 for i in range(n, n + 300)])))
    destination.write(Write(orders, Mode.MERGE, rows(n, "d", range(n * 3, n * 3 + 20))))

destination = DuckDBDestination(DuckDBConfig(Path(sys.argv[1])))
destination.open(Context(), sys.argv[2])
position = destination.resume_position()
if position is None:
    destination.ensure(TableSchema(orders, schema(0), ("id",)), ())
for n in range(position.value + 1 if position else 0, int(sys.argv[3]) + 1):
    print(n, "write", flush=True)
    work(destination, n)
    print(n, "flush", flush=True)
    destination.flush(Position(1, n, n))
    print(n, "done", flush=True)
destination.close()
"""


@pytest.mark.parametrize(
    "stages",
    [
        ["write", "flush", "flush"],
        pytest.param(
            ["write", "flush", "done", "flush"] * 6, marks=[pytest.mark.slow, pytest.mark.timeout(600)]
        ),
    ],
    ids=["few", "many"],
)
def test_a_killed_process_leaves_a_position_and_exactly_its_rows(make_duck: Any, stages: list[str]) -> None:
    duck, calm, hit = make_duck("killed.duckdb"), make_duck("calm.duckdb"), []
    for number, stage in enumerate(stages):
        with subprocess.Popen(_worker(duck, 1_000_000), stdout=subprocess.PIPE, text=True) as worker:
            told = [line.split() for line in _until(worker, stage, after=2 + number % 3)]
            worker.kill()
            told += [line.split() for line in worker.stdout]
        hit.append(told[-1][1])
        position, rows = _left(duck)
        assert position >= max((int(n) for n, begun in told if begun == "done"), default=-1)
        subprocess.run(_worker(calm, position), check=True, capture_output=True)
        assert (position, rows) == _left(calm)
    assert {"write", "flush"} <= set(hit)


def _worker(duck: Any, last: int) -> list[str]:
    return [sys.executable, "-c", WORKER, str(duck.path), "fence", str(last)]


def _left(duck: Any) -> tuple[int, list[tuple[Any, ...]]]:
    """Return the position in a file, and its rows."""
    duck.open()
    position, rows = duck.destination.resume_position(), duck.query()
    duck.close()
    return position.value, rows


def _until(worker: Any, stage: str, after: int) -> Iterator[str]:
    """Yield what the worker tells, until it has begun that stage of its n-th piece of work."""
    seen = 0
    for line in worker.stdout:
        yield line
        seen += line.endswith(f"{stage}\n")
        if seen > after:
            return
