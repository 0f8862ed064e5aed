"""A pipeline from PostgreSQL into a DuckDB file, run in this process while a test does things to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from attrs import Factory, define

from etl_core import Cancel, Cancelled, Event, PipelineResult, run_document

__all__ = ["Copy", "Live", "in_thread"]

DEADLINE = 40.0


@define
class Live:
    """A run that goes on in a thread: what it said so far, and how it ended."""

    events: list[Event] = Factory(list)
    error: BaseException | None = None
    cancel: threading.Event = Factory(threading.Event)
    ended: threading.Event = Factory(threading.Event)

    def named(self, name: str) -> list[Event]:
        return [event for event in list(self.events) if event.name == name]

    def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """Wait for a condition; a run that ends meanwhile fails the test with its error."""
        deadline = time.monotonic() + DEADLINE
        while not (value := condition()):
            if self.ended.is_set() and not condition():
                raise AssertionError(f"the run ended: {self.error!r}") from self.error
            assert time.monotonic() < deadline, f"did not happen: {what or condition}"
            time.sleep(0.02)
        return value

    def written(self, stream: str = "public.t") -> int:
        """Return how many rows of a stream the destination took so far."""
        return sum(e.facts["rows"] for e in self.named("batch_written") if e.facts["stream"] == stream)

    def wait_rows(self, count: int = 1, stream: str = "public.t", beyond: int = 0) -> None:
        """Wait until more rows came than `beyond`, `count` of them, and were committed."""
        self.until(lambda: self.written(stream) >= beyond + count, f"{beyond} + {count} rows of {stream}")
        before = len(self.named("committed"))
        self.until(lambda: len(self.named("committed")) > before or self._settled(), "a commit")

    def _settled(self) -> bool:
        """Whether a commit came after the last rows."""
        names = [event.name for event in list(self.events) if event.name in {"batch_written", "committed"}]
        return names[-1:] == ["committed"]

    def wait_end(self) -> BaseException | None:
        """Wait until the run has ended by itself; return its error."""
        assert self.ended.wait(DEADLINE), "the run goes on"
        return self.error

    def retries(self) -> list[str]:
        """Return the messages of the failures that were retried."""
        return [event.facts["message"] for event in self.named("retrying")]


@contextmanager
def in_thread(run: Callable[[Cancel, Callable[[Event], None]], object]) -> Iterator[Live]:
    """Run something in a thread as long as the block; it is cancelled at the end and has ended afterwards."""
    live = Live()

    def work() -> None:
        try:
            run(live.cancel, live.events.append)
        except Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 - the test asks for it
            live.error = error
        finally:
            live.ended.set()

    thread = threading.Thread(target=work, name="live")
    thread.start()
    try:
        yield live
    finally:
        live.cancel.set()
        thread.join()


@define
class Copy:
    """One pipeline's document, its file, and what the source has."""

    database: Any
    directory: Path
    tables: Sequence[str] = ("public.*",)
    load: str = "upsert"
    name: str = ""
    dsn: str = ""
    extract: dict[str, Any] = Factory(dict)

    @property
    def pipeline(self) -> str:
        return self.name or self.database.name

    @property
    def slot(self) -> str:
        return f"etl_{self.pipeline}"

    @property
    def file(self) -> Path:
        return self.directory / f"{self.pipeline}.duckdb"

    def document(self, **extract: Any) -> dict[str, Any]:
        where = {"use": "postgres-cdc", "dsn": self.dsn or self.database.dsn, "tables": list(self.tables)}
        return {
            "version": 1,
            "pipeline": self.pipeline,
            "extract": where | self.extract | extract,
            "load": {"use": self.load, "commit": {"max_wait": "50ms"}, "batch": {"max_wait": "50ms"}},
            "destination": {"use": "duckdb", "path": str(self.file)},
            "state": {"use": "sqlite", "path": str(self.directory / f"{self.pipeline}.state")},
            "retry": {"attempts": 30, "base": "20ms", "cap": "300ms"},
        }

    def once(self, **extract: Any) -> PipelineResult:
        """Catch up with the source."""
        return run_document(self.document(**extract), once=True)

    @contextmanager
    def running(self, document: dict[str, Any] | None = None, **extract: Any) -> Iterator[Live]:
        """Run as long as the block."""
        taken = document or self.document(**extract)
        with in_thread(lambda cancel, events: run_document(taken, cancel=cancel, events=events)) as live:
            yield live

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the destination."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def rows(self, table: str = "t", columns: str = "*") -> list[tuple[Any, ...]]:
        """Return the destination's rows, by their first column."""
        return self.select(f"select {columns} from public.{table} order by 1")

    def assert_equal(self, *tables: str) -> None:
        """Compare tables by value, row by row."""
        for table in tables or ("t",):
            wanted = self.database.query(f"select * from {table} order by 1")
            assert self.rows(table) == wanted, table

    def streaming(self) -> int | None:
        """Return the process id of the walsender that streams from the slot, if one does."""
        sql = (
            "select pid from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid"
            f" where slot_name = '{self.slot}' and state in ('catchup', 'streaming')"
        )
        found = self.database.query(sql)
        return found[0][0] if found else None

    def drop_slot(self) -> None:
        """End whoever reads the slot and drop it, before anybody can come back to it."""
        with self.database.connect() as connection:
            for _ in range(200):
                connection.execute(
                    "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots"
                    " where slot_name = %s",
                    [self.slot],
                )
                found = connection.execute(
                    "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
                    " where slot_name = %s and not active",
                    [self.slot],
                ).fetchall()
                if found:
                    return
        raise AssertionError("the slot stayed in use")
