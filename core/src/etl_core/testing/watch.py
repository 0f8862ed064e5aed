"""Looking at everything a connector shows while it is used: for secrets, which must not be among it."""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from etl_core.events import Event
from etl_core.isolation import descriptors_lead_to

__all__ = ["Watch"]

#: What tells audit hooks which arguments a process gets.
_STARTS = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system"})
#: The lists that hear of the processes which are started.
_hearing: list[list[str]] = []


class Watch:
    """Keeps what a connector shows: its reprs, log lines, events, prints, errors, and arguments of processes.

    What the standard library logs is taken at every level, and what is written to the descriptors 1 and 2 by
    whatever way. `events` holds the events of each context, `stored` what goes into a state store.
    """

    def __init__(
        self, logs: list[str], events: Sequence[Sequence[Event]] = (), stored: Sequence[Any] = ()
    ) -> None:
        self._logs = logs
        self._events = events
        self._stored = stored
        self._seen: list[tuple[str, str]] = []
        self._printed = io.StringIO()
        self._written = b""
        self._started: list[str] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        written = self._open.enter_context(tempfile.TemporaryFile())
        self._open.callback(self._read, written)
        self._open.enter_context(descriptors_lead_to(written.fileno(), 1, 2))
        self._open.enter_context(_streams_lead_to(self._printed))
        self._open.enter_context(_logged_to(self._logs))
        _hear(self._started)
        self._open.callback(_hearing.remove, self._started)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def look(self, shown: object) -> None:
        """Take in how an object prints."""
        self._seen += [(f"repr of {type(shown).__name__}", repr(shown)), ("str", str(shown))]

    def error(self, error: BaseException) -> None:
        """Take in all that an error shows, with those behind it."""
        self._seen.append((f"error {type(error).__name__}", "".join(traceback.format_exception(error))))
        facts = [error.args, vars(error)]
        self._seen.append((f"facts of {type(error).__name__}", repr(facts)))

    def place_of(self, secret: str) -> str | None:
        """Say where a text was seen; None when it was not."""
        return next((where for where, text in self._shown() if secret in text), None)

    def _shown(self) -> Iterator[tuple[str, str]]:
        yield from self._seen
        yield "output", self._printed.getvalue()
        yield "output", self._written.decode(errors="replace")
        yield from (("log", line) for line in self._logs)
        yield from ((f"event {each.name}", repr(each.facts)) for events in self._events for each in events)
        yield from (("a position", repr(value)) for value in self._stored)
        yield from (("arguments of a process", text) for text in self._started)

    def _read(self, written: Any) -> None:
        written.seek(0)
        self._written = written.read()


@contextmanager
def _streams_lead_to(printed: io.StringIO) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = printed
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def _logged_to(lines: list[str]) -> Iterator[None]:
    """Take every record of the standard library's logging, whatever level and handlers a logger has."""
    factory, shown = logging.getLogRecordFactory(), logging.Formatter()

    def heard(*facts: Any, **more: Any) -> logging.LogRecord:
        record = factory(*facts, **more)
        try:
            lines.append(shown.format(record))
        except Exception as error:  # noqa: BLE001 - as `logging` does with what cannot be formatted
            lines.append(f"{record.msg} {record.args} {type(error).__name__}")
        return record

    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    levels = {each: each.level for each in (logging.root, *loggers)}
    disabled = logging.root.manager.disable
    logging.disable(logging.NOTSET)
    logging.setLogRecordFactory(heard)
    try:
        for each in levels:
            each.setLevel(1)
        yield
    finally:
        logging.setLogRecordFactory(factory)
        logging.disable(disabled)
        for each, level in levels.items():
            each.setLevel(level)


def _hear(started: list[str]) -> None:
    """Add the arguments of every process that is started to a list in `_hearing`."""
    if not _hook:
        _hook.append(_on_audit)
        sys.addaudithook(_on_audit)
    _hearing.append(started)


#: The hook, once it is there: it cannot be taken away again.
_hook: list[Any] = []


def _on_audit(event: str, facts: tuple[Any, ...]) -> None:
    if _hearing and event in _STARTS:
        text = repr([facts[0], facts[1]] if len(facts) > 1 else facts)  # an environment is not for all to see
        for started in _hearing:
            started.append(text)
