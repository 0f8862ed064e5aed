"""What a worker is asked, heard beside the clauses, so that it notices when nobody is there any more."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

__all__ = ["END", "Requests"]

#: The last request. Where it did not come, who asked was killed.
END = "end"
#: Seconds a clause has to put away what it made, once nobody is there any more.
_GRACE = 10.0


class Requests:
    """The requests of a stream of lines, a JSON value each; to be read by the main thread.

    When the stream ends without `END`, the clause that runs is interrupted as by Ctrl-C; then, at the latest
    after the grace, `directory` is removed and the process is killed with all of its group.
    """

    def __init__(self, lines: TextIO, directory: Path) -> None:
        self._lines = lines
        self._directory = directory
        self._heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="certify requests", daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._listener.join()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while (request := self._heard.get()) is not None:
            yield request

    def _listen(self) -> None:
        for line in self._lines:
            request = json.loads(line)
            if request["do"] == END:
                self._heard.put(None)
                return
            self._heard.put(request)
        self._end()

    def _end(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        self._heard.put(None)
        signal.pthread_kill(main, signal.SIGINT)
        self._over.wait(_GRACE)
        shutil.rmtree(self._directory, ignore_errors=True)
        os.killpg(os.getpid(), signal.SIGKILL)
