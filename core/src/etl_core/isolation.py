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

__all__ = ["contained", "descriptors_lead_to", "lingering"]

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
        with redirect_stdout(sys.stderr), descriptors_lead_to(2, 1):
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
def descriptors_lead_to(target: int, *descriptors: int) -> Iterator[None]:
    """Have what is written to descriptors go to another: by Python, libraries in C and child processes.

    One that was closed by whoever started us stays so.
    """
    _flush()
    with ExitStack() as stack:
        for each in descriptors:
            with suppress(OSError):
                stack.callback(_lead_back, each, os.dup(each))
                os.dup2(target, each)
        yield


def _lead_back(descriptor: int, kept: int) -> None:
    _flush()
    os.dup2(kept, descriptor)
    os.close(kept)


def _flush() -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(AttributeError, OSError, ValueError):  # closed, or as good as closed
            stream.flush()  # type: ignore[union-attr]
