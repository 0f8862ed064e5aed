"""SIGINT and SIGTERM: the first asks the run to drain and commit, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from etl_core.errors import Cancelled

__all__ = ["cancel_on_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAID = b"\nstopping: what was read is written and committed first; once more stops at once\n"


@contextmanager
def cancel_on_signals() -> Iterator[threading.Event]:
    """Give the event that the first signal sets; outside the main thread no signal is caught."""
    cancel = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            os._exit(Cancelled.exit_code)
        cancel.set()
        os.write(2, _SAID)

    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return
    before = [signal.signal(number, on_signal) for number in _SIGNALS]
    try:
        yield cancel
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
