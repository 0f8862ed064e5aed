"""What a process has once for everybody: noted before a plugin is loaded, and put back after it."""

from __future__ import annotations

import builtins
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Noted"]


class Noted:
    """What was there at one time. `restored` puts back what has changed since, and says what that was."""

    def __init__(self) -> None:
        self._environ = dict(os.environ)
        self._filters = list(warnings.filters)
        self._values = [(what, read, put, read()) for what, read, put in _VALUES]

    def restored(self) -> Iterator[str]:
        """Undo every change, and yield a sentence about each."""
        return (f"it changed {what} when it was loaded (undone){more}" for what, more in self.undone())

    def undone(self) -> list[tuple[str, str]]:
        """Undo every change; return what each was of, and more about it."""
        return [*self._variables(), *self._others(), *self._warnings()]

    def _variables(self) -> Iterator[tuple[str, str]]:
        before, now = self._environ, dict(os.environ)
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        for name in names:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
        if names:
            yield "variables of the environment", f": {', '.join(names)}"

    def _others(self) -> Iterator[tuple[str, str]]:
        for what, read, put, before in self._values:
            if read() != before:
                put(before)
                yield what, ""

    def _warnings(self) -> Iterator[tuple[str, str]]:
        broad = [each for each in warnings.filters if each not in self._filters and _is_broad(each)]
        if broad:
            kept = [each for each in warnings.filters if each not in broad]
            warnings.resetwarnings()
            warnings.filters[:] = kept  # type: ignore[index]
            yield "how everybody's warnings are treated", ""


def _is_broad(filter_: Sequence[Any]) -> bool:
    """Tell whether a filter is about more than its author's own warnings."""
    _, message, category, module, _ = filter_
    return message is None and module is None and category in vars(builtins).values()


def _directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return None


def _change_to(directory: Path | None) -> None:
    if directory is not None:
        os.chdir(directory)


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _handle(handlers: dict[int, Any]) -> None:
    """Put handlers back; only the main thread can, and only it could have changed them."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _mask() -> int:
    """Return which rights new files do not get; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _patience() -> float | None:
    socket: Any = sys.modules.get("socket")  # looking is not to import it
    return None if socket is None else socket.getdefaulttimeout()


def _be_patient(seconds: float | None) -> None:
    sys.modules["socket"].setdefaulttimeout(seconds)


def _silence() -> int:
    logging: Any = sys.modules.get("logging")
    return 0 if logging is None else logging.root.manager.disable


def _silence_up_to(level: int) -> None:
    sys.modules["logging"].disable(level)


def _streams() -> tuple[Any, ...]:
    return sys.stdin, sys.stdout, sys.stderr


def _stream_to(streams: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr = streams


def _search(path: list[str]) -> None:
    sys.path[:] = path


#: What it is, how it is read, and how it is put back.
_VALUES: list[tuple[str, Callable[[], Any], Callable[[Any], object]]] = [
    ("the working directory", _directory, _change_to),
    ("how signals are handled", _handlers, _handle),
    ("the rights of new files", _mask, os.umask),
    ("the timeout of all sockets", _patience, _be_patient),
    ("which levels may be logged", _silence, _silence_up_to),
    ("the standard streams", _streams, _stream_to),
    ("where modules are searched", lambda: list(sys.path), _search),
]
