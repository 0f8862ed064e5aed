"""The end of the process, which no plugin holds up, nor adds to what was printed."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress

from etl_core.isolation import lingering

__all__ = ["end"]

_SAID = "not waiting for threads that a plugin started when it was loaded; `etl-core list-plugins` says whose"


def end(code: int | str | None) -> None:
    """Have what is printed from now on go to stderr; end at once where threads of plugins would go on."""
    with suppress(AttributeError, OSError, ValueError):  # nobody reads it any more
        sys.stdout.flush()
        os.dup2(2, 1)
    if not lingering():
        return
    sys.stderr.write(f"{_SAID}\n")
    atexit._run_exitfuncs()  # noqa: SLF001 - what others registered is still done
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else code is not None)
