"""Containing what a plugin does to its process while it is looked at.

A plugin's module only registers. What it prints goes to stderr; what it changes for everybody is undone, and
said. One that takes long is named on stderr, so that whoever waits knows whom to leave out. Threads cannot be
ended from outside: they are said, and the command line does not wait for them at its end.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from weakref import WeakSet

from etl_core.processwide import Noted

__all__ = ["contained", "lingering"]

#: Seconds after which loading one plugin is long.
_LONG = 5.0
#: The threads that plugins started when they were loaded.
_started: WeakSet[threading.Thread] = WeakSet()


@contextmanager
def contained(who: str) -> Iterator[list[str]]:
    """Contain what `who` does within; at the end the list says what was changed."""
    notes: list[str] = []
    threads = set(threading.enumerate())
    waiting = threading.Timer(_LONG, _say, [who])
    waiting.daemon = True
    waiting.start()
    threads.add(waiting)
    try:
        with _printed_on_stderr():
            noted = Noted()
            try:
                yield notes
            finally:
                notes += noted.restored()
    finally:
        waiting.cancel()
        waiting.join()
        if started := [each for each in threading.enumerate() if each not in threads]:
            _started.update(started)
            notes.append(f"it started threads when it was loaded: {', '.join(each.name for each in started)}")


def lingering() -> list[str]:
    """Return the names of threads that plugins started when they were loaded, and that hold up an end."""
    return sorted(each.name for each in _started if each.is_alive() and not each.daemon)


def _say(who: str) -> None:
    sys.stderr.write(f"still loading the plugin {who}\n")


@contextmanager
def _printed_on_stderr() -> Iterator[None]:
    """Have what is printed go to stderr: by Python, by libraries in C and by child processes."""
    _flush()
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))
        with suppress(OSError):  # one of them was closed by whoever started us
            stack.callback(_lead_back, os.dup(1))
            os.dup2(2, 1)
        yield


def _lead_back(kept: int) -> None:
    _flush()
    os.dup2(kept, 1)
    os.close(kept)


def _flush() -> None:
    with suppress(AttributeError, OSError, ValueError):  # closed, or as good as closed
        sys.__stdout__.flush()  # type: ignore[union-attr]
