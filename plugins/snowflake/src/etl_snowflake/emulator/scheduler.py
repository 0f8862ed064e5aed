"""Runs tasks: when asked for, and each time their schedule comes round while they are resumed."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from etl_snowflake.emulator.catalog import Task
from etl_snowflake.emulator.errors import SnowflakeError
from etl_snowflake.emulator.sql import engine

if TYPE_CHECKING:
    from etl_snowflake.emulator.account import Account

_WORDS = {"S": 1 / 60, "M": 1.0, "H": 60.0}


class Scheduler:
    """One thread that runs one task after the other, each in a session of its own."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._asked: deque[Task] = deque()
        self._last: dict[tuple[str, str, str], float] = {}
        self._wake = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tasks", daemon=True)
        self.runs: list[dict[str, object]] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the task that runs."""
        self._over.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def ask(self, task: Task) -> None:
        """Run a task soon."""
        self._asked.append(task)
        self._wake.set()

    def _loop(self) -> None:
        while not self._over.is_set():
            self._wake.wait(min(1.0, self._account.faults.switches.task_minute / 5))
            self._wake.clear()
            for task in self._due():
                self._run(task)

    def _due(self) -> list[Task]:
        due = [self._asked.popleft() for _ in range(len(self._asked))]
        now = time.monotonic()
        for schemas in list(self._account.catalog.databases.values()):
            for schema in list(schemas.values()):
                due += [task for task in list(schema.tasks.values()) if self._comes_round(task, now)]
        return due

    def _comes_round(self, task: Task, now: float) -> bool:
        found = re.match(r"(\d+)\s*([SMH])", task.schedule or "", re.IGNORECASE)
        key = (task.database, task.schema, task.name)
        if task.state != "started" or found is None:
            self._last.pop(key, None)
            return False
        minutes = int(found[1]) * _WORDS[found[2].upper()]
        last = self._last.setdefault(key, now)
        if now < last + minutes * self._account.faults.switches.task_minute:
            return False
        self._last[key] = now
        return True

    def _run(self, task: Task) -> None:
        session = self._account.new_session(self._account.owner, task.owner)
        session.database, session.schema = task.database, task.schema
        session.warehouse = task.warehouse or self._account.names.warehouse  # none: serverless
        run: dict[str, object] = {"task": f"{task.database}.{task.schema}.{task.name}", "at": time.time()}
        try:
            result = engine.run(self._account, session, task.body, by=f"task {task.name}")
            self._account.transactions.commit(session)
            run |= {"state": "SUCCEEDED", "rows": result.rows}
        except SnowflakeError as error:
            run |= {"state": "FAILED", "error": error.code, "message": error.message}
        finally:
            self.runs.append(run)
            self._account.end_session(session)
