"""The process between an embedded server and its owners: when the last owner is gone, so is the server.

Run as a script with one JSON argument; it imports only the standard library.
Owners hold a shared lock on a file. The kernel drops it however they die, SIGKILL included, and the
guard, waiting for the exclusive lock, then stops the server and removes what was temporary.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

#: A file beside the one that owners lock: the server runs on without them.
LASTING = "lasting"


def main(argument: str) -> int:
    """Start the server, print its process id on the first line of stdout, wait until it ends."""
    order: dict[str, Any] = json.loads(argument)
    if sys.platform != "win32":  # a shell that puts all of this into the background ignores it
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    with Path(order["log"]).open("ab") as log:
        server = subprocess.Popen(
            order["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            **order["identity"],
        )
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    orphaned = threading.Event()
    # The lock is held until this process ends: whoever wants to own the directory next waits for that.
    with Path(order["owners"]).open("rb") as owners:
        threading.Thread(target=_watch, args=(owners, server, orphaned), daemon=True).start()
        code = server.wait()
        if orphaned.is_set() and order["temporary"]:
            remove(Path(order["home"]), Path(order["owners"]))
    return code


def remove(home: Path, owners: Path) -> None:
    """Remove what a server made, and its directories if nothing else is in them; the owners' lock goes last.

    Whoever comes meanwhile waits at that file's lock, which the caller holds, and then starts anew.
    """
    for name in ("data", "unfinished", "run"):
        shutil.rmtree(home / name, ignore_errors=True)
    for name in ("server.log", "start.lock", LASTING):
        owners.with_name(name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty: somebody is already there, or always was
        if home != owners.parent:
            home.rmdir()
        owners.unlink()
        owners.parent.rmdir()


def _watch(owners: BinaryIO, server: subprocess.Popen[bytes], orphaned: threading.Event) -> None:
    with contextlib.suppress(ImportError):  # Windows: only the owner's own exit handler stops the server
        import fcntl

        fcntl.flock(owners, fcntl.LOCK_EX)
        if Path(owners.name).with_name(LASTING).exists():
            fcntl.flock(owners, fcntl.LOCK_UN)
            return
        orphaned.set()
        server.send_signal(signal.SIGQUIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
