"""A small shop in PostgreSQL, its pipeline document, and the command line as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
from attrs import define

__all__ = ["Shop", "wait_until"]

TABLES = (
    "create table orders (id int primary key, customer text not null, total numeric(12,2), note text)",
    "create table customers (id int primary key, name text)",
)


def wait_until(condition: Callable[[], Any], seconds: float = 30.0, what: str = "") -> Any:
    """Return the condition's first true value; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds} s: {what or condition}")


@define
class Shop:
    """One database, one directory with a document, one pipeline."""

    database: Any
    directory: Path
    load: str = "upsert"

    @property
    def document(self) -> Path:
        return self.directory / "shop.yaml"

    @property
    def file(self) -> Path:
        return self.directory / "shop.duckdb"

    @property
    def slot(self) -> str:
        return f"etl_{self.database.name}"

    def create(self, rows: int = 100) -> Shop:
        """Make the tables with `rows` orders and write the document."""
        self.database.execute(
            *TABLES,
            f"insert into orders select n, 'c' || n % 7, n * 1.5, null from generate_series(1, {rows}) n",
            "insert into customers select n, 'name ' || n from generate_series(0, 6) n",
        )
        return self.write()

    def write(self, **sections: Any) -> Shop:
        """Write the document; a section given here replaces or extends the usual one."""
        document: dict[str, Any] = {
            "version": 1,
            "pipeline": self.database.name,
            "extract": {"use": "postgres-cdc", "dsn": self.database.dsn, "tables": ["public.*"]},
            "load": {"use": self.load, "commit": {"max_wait": "100ms"}, "batch": {"max_wait": "100ms"}},
            "destination": {"use": "duckdb", "path": "shop.duckdb"},
            "state": {"use": "sqlite", "path": "state.db"},
            "retry": {"attempts": 3, "base": "50ms", "cap": "200ms"},
        }
        for name, section in sections.items():
            usual = document.get(name)
            document[name] = {**usual, **section} if isinstance(usual, dict) else section
        self.document.write_text(json.dumps(document))  # JSON is YAML
        return self

    def cli(
        self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 50
    ) -> subprocess.CompletedProcess[str]:
        """Run `etl-core` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "etl_core.cli", *arguments],
            cwd=self.directory,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def once(self, expect: int = 0, env: Mapping[str, str] | None = None) -> str:
        """Catch up with the source; return what was printed."""
        done = self.cli("run", str(self.document), "--once", env=env)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start(self, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a run that goes on; the caller ends it."""
        return subprocess.Popen(
            [sys.executable, "-m", "etl_core.cli", "run", str(self.document)],
            cwd=self.directory,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def mirror(self, table: str = "orders") -> list[tuple[Any, ...]]:
        """Return the destination's rows, by key."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(f"select * from public.{table} order by 1").fetchall()

    def source(self, table: str = "orders") -> list[tuple[Any, ...]]:
        """Return the source's rows, by key."""
        rows: list[tuple[Any, ...]] = self.database.query(f"select * from {table} order by 1")
        return rows

    def slots(self) -> list[tuple[Any, ...]]:
        """Return name and activity of the permanent slots of this database."""
        rows: list[tuple[Any, ...]] = self.database.query(
            "select slot_name, active from pg_replication_slots"
            " where database = current_database() and not temporary"
        )
        return rows

    def streams(self) -> bool:
        """Say whether a run is receiving changes."""
        return any(active for _, active in self.slots())

    def assert_equal(self) -> None:
        """Compare both tables by value."""
        for table in ("orders", "customers"):
            assert self.mirror(table) == self.source(table), table


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Send SIGINT, wait for the end; return exit code and output."""
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=40)
    return process.returncode, output
