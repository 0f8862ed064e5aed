"""A toy source and destination, installed like any plugin, and the command line run in and out of process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

Document = Callable[..., Path]
Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]

TOY = '''
"""A source that counts, a destination that writes lines, a command."""

import attrs
from etl_core import (
    AuthError, Batch, Destination, Executor, Lag, Mode, Position, Registration, RetryableError, Secret,
    Source, Stream, StreamInfo, Transform, hookimpl, run_document, setting,
)

@attrs.frozen
class SourceConfig:
    rows: int = setting(3, help="How many.")
    endless: bool = setting(False, help="Go on.")
    fail: str = setting("", help="What to raise.")
    password: Secret | None = setting(None, help="Of no use.")
    end: int | None = setting(None, help="Where the log ends, in rows.")
    estimate: int | None = setting(None, help="About how many rows there are.")

class Toy(Source):
    def __init__(self, config):
        self.config = config
    stream = Stream("public", "numbers")
    def check(self, ctx):
        if self.config.fail == "auth":
            raise AuthError("the login failed", "ask for another password", user="toy")
    def streams(self, ctx):
        import pyarrow as pa
        schema = pa.schema([pa.field("id", pa.int64(), nullable=False), ("name", pa.string())])
        return [StreamInfo(self.stream, schema, ("id",), estimate=self.config.estimate)]
    def lag(self, ctx, value):
        if self.config.fail == "lag":
            raise RetryableError("the server cannot be reached", host="toy")
        if self.config.end is None:
            return None
        behind = self.config.end - (value or 0)
        return Lag(bytes=behind << 20, seconds=behind * 10.0, retained_bytes=1 << 30, status="reserved")
    def sample(self, ctx, stream, n):
        import pyarrow as pa
        names = [None if i == 1 else "x" * 60 for i in range(n)]
        return pa.table({"id": pa.array(range(n)), "name": pa.array(names)})
    def _rows(self, first, count):
        import pyarrow as pa
        ids = list(range(first, first + count))
        return pa.record_batch({"id": pa.array(ids, pa.int64()), "name": [f"n{i}" for i in ids]})
    def read(self, ctx, resume, until=None):
        self.check(ctx)
        if self.config.fail == "crash":
            raise ZeroDivisionError("hunter2")
        if self.config.fail == "retry":
            raise RetryableError("come back later")
        at = resume or 0
        yield Batch.of(self.stream, self._rows(at, self.config.rows), at + self.config.rows)
        while self.config.endless and not ctx.cancel.is_set():
            at += self.config.rows
            yield Batch.of(self.stream, self._rows(at, self.config.rows), at + self.config.rows)
            ctx.cancel.wait(0.02)
    def teardown(self, ctx):
        return ["dropped the slot toy"]

@attrs.frozen
class FileConfig:
    path: str = setting(help="The file of lines.")
    reject: bool = setting(False, help="Refuse every row.")

class Lines(Destination):
    modes = frozenset({Mode.APPEND})
    def __init__(self, config):
        self.config, self.rows = config, []
    def write(self, write):
        if self.config.reject:
            from etl_core import Rejected
            return [Rejected(write.stream, write.rows, "not_wanted")]
        if write.rows is not None:
            self.rows += write.rows.column("id").to_pylist()
    def flush(self, position):
        with open(self.config.path, "a") as file:
            file.writelines(f"{row}\\n" for row in self.rows)
        self.rows = []
    def abort(self):
        self.rows = []

@attrs.frozen
class Nothing:
    pass

class Same(Transform):
    def __init__(self, config):
        pass
    def apply(self, ctx, stream, rows):
        return rows

class Elsewhere(Executor):
    def __init__(self, config):
        pass
    def run(self, document, cancel, events):
        print("elsewhere", document["once"])
        return run_document(document, cancel=cancel, events=events)

@hookimpl
def etl_register_extract():
    return [Registration("toy", SourceConfig, Toy, "Counts.")]

@hookimpl
def etl_register_transform():
    return [Registration("same", Nothing, Same)]

@hookimpl
def etl_register_destination():
    return [Registration("lines", FileConfig, Lines, "Lines in a file.")]

@hookimpl
def etl_register_executor():
    return [Registration("elsewhere", Nothing, Elsewhere)]

@hookimpl
def etl_register_commands():
    return [
        Registration("hello", None, "etl_toy_commands:hello", "Greets."),
        Registration("not-click", None, "etl_toy_commands:nothing"),
    ]
'''

COMMANDS = '''
import click
from etl_core.errors import FatalError

@click.command()
@click.option("--fail", is_flag=True)
def hello(fail):
    """Greets whoever calls."""
    if fail:
        raise FatalError("cannot greet", "be nicer")
    click.echo("hello")

nothing = 5
'''


@pytest.fixture
def toy(install: Callable[..., None], tmp_path: Path) -> Path:
    """Install the toy plugin; return the directory it is in."""
    install("etl-toy", TOY)
    site = tmp_path / "site-packages"
    (site / "etl_toy_commands.py").write_text(COMMANDS, encoding="utf-8")
    return site


@pytest.fixture
def document(tmp_path: Path, toy: Path) -> Document:
    """Write a document of the toy: `document("shop", extract={"rows": 5})` -> its path."""

    def write(name: str = "shop", **changes: Any) -> Path:
        base: dict[str, Any] = {
            "extract": {"use": "toy"},
            "load": {"use": "append"},
            "destination": {"use": "lines", "path": str(tmp_path / f"{name}.txt")},
        }
        for section, values in changes.items():
            base[section] = {**base[section], **values} if isinstance(base.get(section), dict) else values
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps({"version": 1, "pipeline": name, **base}), encoding="utf-8")
        return path

    return write


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command line in this process."""
    from etl_core.cli.app import app
    from etl_core.plugins import LOAD

    monkeypatch.setenv(LOAD, "")  # so that what --no-plugins sets is undone
    monkeypatch.delenv(LOAD)

    def call(*arguments: object, input: str | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)

    return call


@pytest.fixture
def start(toy: Path) -> Iterator[Start]:
    """Start the command line as a process of its own, with the toy installed; none is left behind."""
    started = []

    def begin(*arguments: object, environ: Any = None, **options: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(toy), **(environ or {})}
        command = [sys.executable, "-c", "from etl_core.cli import main; main()", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
        started.append(subprocess.Popen(command, **{**pipes, **options}))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
