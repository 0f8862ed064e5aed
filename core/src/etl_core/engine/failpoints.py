"""Named places where a test makes the process die, to prove that dying there loses nothing.

`ETL_FAILPOINT=name:n` sends SIGKILL to the own process the n-th time the place is passed.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

__all__ = ["FAILPOINTS", "hit"]

#: Every place, and when it is passed.
FAILPOINTS = {
    "snapshot": "after rows of a snapshot were written",
    "handover": "after a snapshot's end was written, before the changes that follow",
    "stream": "after a change was received, before it is written",
    "after_write": "after changes were written, before they are flushed",
    "before_flush": "before the destination is asked to flush",
    "after_flush": "after the flush, before the position is saved in the state store",
    "after_save": "after the save, before the source is told",
    "schema_change": "after the destination's table was changed",
}

_name, _, _count = os.environ.get("ETL_FAILPOINT", "").partition(":")
_passed: Counter[str] = Counter()


def hit(name: str) -> None:
    """Die here if the environment says so."""
    if name != _name:
        return
    _passed[name] += 1
    if _passed[name] == int(_count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
