"""What the parts of an open destination share: the settings, one session and its lock, and who we are."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING

from attrs import field, frozen

from etl_core import RetryableError, Stream
from etl_snowflake import control
from etl_snowflake.bulk import Bulk
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.names import Names
from etl_snowflake.tables import Tables

if TYPE_CHECKING:
    from etl_core import Context

__all__ = ["STAGE", "Account"]

STAGE = "ETL_STAGE"
#: Seconds after which Snowflake has ended the transaction of a client that is gone and locks others out: 300.
_HELD = 400.0
_PAUSE = 1.0
#: A lock was not had within LOCK_TIMEOUT.
_LOCKED = 625


@frozen(eq=False)
class Account:
    """An account while a pipeline has it open. Whoever uses the session holds `lock`."""

    config: SnowflakeConfig
    names: Names
    ctx: Context
    fence: str
    session: Session
    lock: threading.RLock = field(factory=threading.RLock)

    @property
    def pipeline(self) -> str:
        return self.ctx.pipeline

    @property
    def by_task(self) -> bool:
        """Whether tasks merge."""
        return self.config.task_schedule_minutes is not None

    @property
    def bulk(self) -> Bulk:
        return Bulk(self.session, self.names.ours(STAGE), self.ctx.spill)

    @property
    def tables(self) -> Tables:
        return Tables(self.session, self.names, self.pipeline, self.fence)

    @property
    def identity(self) -> tuple[Session, Names, str, str]:
        """What functions that commit rows take first."""
        return self.session, self.names, self.pipeline, self.fence

    def install(self) -> None:
        """Make what is not there yet, and take the fence.

        Waits while a run that was killed holds the fence's row, which it may for minutes.
        """
        deadline = time.monotonic() + _HELD
        while True:
            try:
                with self.lock:
                    self._install()
            except RetryableError as error:
                locked = error.facts.get("errno") == _LOCKED
                if not locked or self.ctx.cancel.is_set() or time.monotonic() >= deadline:
                    raise
                self.ctx.logger.warning("waiting for a transaction that another run left open")
                self.ctx.cancel.wait(_PAUSE)
            else:
                return

    def _install(self) -> None:
        control.install(self.session, self.names)
        self.session.execute(f"CREATE STAGE IF NOT EXISTS {self.names.ours(STAGE)}")
        control.claim(self.session, self.names, self.pipeline, self.fence)

    def clear(self) -> None:
        """Remove files that a run which was killed has left."""
        with self.lock:
            self.bulk.clear(_digest(self.pipeline))

    def require(self) -> None:
        """Raise StateError unless the fence is still ours."""
        with self.lock:
            control.require(*self.identity)

    def directory(self, stream: Stream) -> str:
        """Return where files of a stream lie in the stage."""
        return "/".join(_digest(text) for text in (self.pipeline, str(stream)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
