"""The source and the destination of the documents that an executor is given to run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etl_core.errors import AuthError, FatalError, RetryableError, SchemaError
from etl_core.interfaces import Context
from etl_core.model import Batch, Rejected, Stream, Write
from etl_core.testing.executor.plugin import JournalConfig, PlayedConfig
from etl_core.testing.journal import Journal
from etl_core.testing.script import Script, ScriptedSource

__all__ = ["ERRORS", "STREAM", "Kept", "Played"]

STREAM = Stream("public", "numbers")

#: What the source can raise.
ERRORS: Mapping[str, Exception] = {
    "fatal": FatalError("the script says to stop", "look at the script", place=7, table="public.numbers"),
    "auth": AuthError("the script says the login failed", "ask for another password", user="nobody"),
    "schema": SchemaError("the script says the columns are wrong", "freeze nothing", column="id"),
    "retry": RetryableError("the script says to come back later", "wait", retry_after=0.0),
    "fault": ZeroDivisionError("a fault of the script"),
}


def _script(transactions: int) -> Script:
    script = Script(STREAM)
    for n in range(transactions):
        script.insert({"id": n, "name": f"n{n}"}).commit()
    return script


class Played(ScriptedSource):
    """Tells its transactions at a pace."""

    def __init__(self, config: PlayedConfig) -> None:
        fail_before = [config.transactions - 1] if config.fail_once else ()
        script = _script(config.transactions)
        super().__init__(script, fail_before=fail_before, endless=config.endless)
        self._config = config

    def latest(self, ctx: Context) -> int:
        return self._config.transactions

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        if self._config.die:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._config.fail:
            raise ERRORS[self._config.fail]
        self._endless = self._config.endless and until is None
        ctx.metrics.count("plays", 1)
        for batch in super().read(ctx, resume, until):
            yield batch
            ctx.cancel.wait(self._config.pace)


class Kept(Journal):
    """A journal that may refuse rows."""

    def __init__(self, config: JournalConfig) -> None:
        super().__init__(config.directory)
        self._reject = config.reject

    def write(self, write: Write) -> Sequence[Rejected] | None:
        if self._reject and write.rows is not None:
            return [Rejected(write.stream, write.rows, "not_wanted")]
        return super().write(write)
