"""Connectors that each break a clause of every kind, and parts for child processes."""

from __future__ import annotations

import logging
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from attrs import frozen
from loguru import logger
from support.planted.ground_settings import Settings

from etl_core.config import setting
from etl_core.engine.failpoints import hit
from etl_core.errors import AuthError
from etl_core.testing.child import hear, say
from etl_core.testing.children import connector_of


@frozen(kw_only=True)
class HeavySettings:
    """Settings in a module that imports Arrow."""

    rows: int = setting(pa.array([1])[0].as_py(), help="How many.")


class Right:
    def __init__(self, config: Settings) -> None:
        self._secret = config.password.reveal()
        self._opens = config.opens

    def use(self) -> None:
        if self._opens not in self._secret:
            raise AuthError("the password opens nothing", "ask for another")

    def close(self) -> None:
        pass


class InRepr(Right):
    def __repr__(self) -> str:
        return f"InRepr({self._secret})"


class InLog(Right):
    def use(self) -> None:
        logger.bind(url=self._secret).debug("connecting")
        super().use()


class InOldLog(Right):
    def use(self) -> None:
        logging.getLogger("driver").warning("connecting with %s", self._secret)
        super().use()


class InPrint(Right):
    def use(self) -> None:
        print(self._secret)
        super().use()


class InError(Right):
    def use(self) -> None:
        if self._opens not in self._secret:
            raise AuthError("the password opens nothing", url=self._secret)


class InCause(Right):
    def use(self) -> None:
        try:
            super().use()
        except AuthError as error:
            raise ConnectionError(f"refused: {self._secret}") from error


class Leaves(Right):
    """Leaves something with each use; `let_go` ends it."""

    left: ClassVar[list[Any]] = []

    def use(self) -> None:
        self.left.append(self.leave())

    def leave(self) -> Any:
        raise NotImplementedError

    @classmethod
    def let_go(cls) -> None:
        for each in cls.left:
            if isinstance(each, threading.Event):
                each.set()
            elif isinstance(each, int):
                os.close(each)
            elif isinstance(each, tuple):
                for end in each:
                    os.close(end)
            elif isinstance(each, subprocess.Popen):
                each.kill()
                each.wait()
            else:
                each.close()
        cls.left.clear()


class LeavesThread(Leaves):
    def leave(self) -> Any:
        stop = threading.Event()
        threading.Thread(target=stop.wait, name="forgotten", daemon=True).start()
        return stop


class LeavesFile(Leaves):
    def leave(self) -> Any:
        return tempfile.TemporaryFile(prefix="forgotten")


class LeavesSocket(Leaves):
    def leave(self) -> Any:
        return socket.socket()


class LeavesProcess(Leaves):
    def leave(self) -> Any:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


class LeavesPipe(Leaves):
    def leave(self) -> Any:
        return os.pipe()


class LeavesPoll(Leaves):
    def leave(self) -> Any:
        return select.epoll()


class LeavesTemporaryFile(Leaves):
    def leave(self) -> Any:
        return tempfile.mkstemp(prefix="forgotten")[0]


class LeavesOrphan(Leaves):
    """Starts a process that is nobody's child and in no session of ours."""

    def leave(self) -> Any:
        program = "import os; os.fork() and os._exit(0); os.setsid(); os.execlp('sleep', 'orphan', '3')"
        subprocess.run([sys.executable, "-c", program], check=True)
        return threading.Event()


class LeavesThreadAfterFailure(Leaves):
    def use(self) -> None:
        try:
            Right.use(self)
        except AuthError:
            self.left.append(stop := threading.Event())
            threading.Thread(target=stop.wait, name="forgotten", daemon=True).start()
            raise


class KeepsOnePipe(Leaves):
    """Takes a pipe at its second use and keeps it for all others, as a library may."""

    uses: ClassVar[int] = 0

    def use(self) -> None:
        KeepsOnePipe.uses += 1
        if KeepsOnePipe.uses == 2:
            self.left.append(os.pipe())
        Right.use(self)


def ends(argument: Mapping[str, Any]) -> None:
    print("what a connector prints")


def mutters(argument: Mapping[str, Any]) -> None:
    """Writes what is no UTF-8 to both descriptors, as libraries of other languages do."""
    for descriptor in (1, 2):
        os.write(descriptor, b"caf\xe9\n")


def fails(argument: Mapping[str, Any]) -> None:
    raise ValueError("for a reason")


def hangs(argument: Mapping[str, Any]) -> None:
    time.sleep(60)


def passes_failpoints(argument: Mapping[str, Any]) -> None:
    for _ in range(3):
        hit("after_save")


def makes(argument: Mapping[str, Any]) -> None:
    made = connector_of(argument)
    assert type(made).__name__ == "Right"
    made.use()


def answers(argument: Mapping[str, Any]) -> None:
    print("what a connector prints")
    say(Path.cwd())
    say(hear())
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        say("interrupted")
    say(hear())
