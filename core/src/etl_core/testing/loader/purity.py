"""That a loader is a function of what it is given: no outside world, nothing changed, streams apart."""

from __future__ import annotations

import builtins
import io
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from typing import Any, NoReturn
from unittest.mock import patch

import pyarrow as pa

from etl_core.model import Batch, Stream, Write
from etl_core.schema import with_key
from etl_core.testing.loader.calls import LoaderKit, Planned, by, gathered
from etl_core.testing.printed import bytes_of
from etl_core.testing.stories import snapshot_of
from etl_core.testing.verdicts import expect, fail

__all__ = ["PurityClauses"]

_WORLD: Sequence[tuple[Any, str]] = (
    (builtins, "open"),
    (io, "open"),
    (os, "open"),
    (socket.socket, "connect"),
    (socket.socket, "bind"),
    (subprocess.Popen, "__init__"),
    (threading.Thread, "start"),
)


class PurityClauses(LoaderKit):
    """The clauses about what a loader may not do."""

    def test_it_touches_nothing_outside(self) -> None:
        """`schema` and `plan` open no file, no connection, and start no thread or process.

        Whatever needs the outside belongs into a destination or a transform.
        """
        self.plan(self.story())  # what is imported at the first use is there afterwards
        loader, script = self.make(), self.story()
        with _shut():
            for _ in self.planning(loader, script):
                pass

    def test_the_same_makes_the_same(self) -> None:
        """The same batches make the same writes, in this instance and in another.

        Take no times, no random numbers and no process-wide counters: a resumed run must repeat itself.
        """
        for script in self.stories():
            one, other = self.plan(script, by(7)), self.plan(script, by(7))
            expect(_same(_writes(one), _writes(other)), "the same batches make other writes")

    def test_batches_stay_as_they_were(self) -> None:
        """The rows it is given are the same afterwards, byte by byte.

        Their memory is shared with other stages and with observers: make new arrays.
        """
        loader, script = self.make(), self.story()
        loader.schema(script.stream, with_key(script.first_schema, script.key))
        for batch in gathered(script, by(7)):
            before = bytes_of(batch)
            [*_] = loader.plan(batch)
            expect(bytes_of(batch) == before, "it wrote into the rows it was given")

    def test_no_rows_make_no_rows(self) -> None:
        """An empty batch makes no row.

        Return no write for it, or one without rows.
        """
        loader = self.make()
        for planned in self.planning(loader, self.story()):
            if isinstance(planned.batch.rows, pa.Table):
                empty = Batch(planned.batch.kind, self.stream, planned.batch.rows.slice(0, 0))
                made = sum(write.rows.num_rows for write in loader.plan(empty) if write.rows is not None)
                expect(made == 0, "it made rows of none", rows=made)

    def test_streams_do_not_mix(self) -> None:
        """Streams that come in turn are planned as if each were alone.

        Keep what you keep per stream: whether its snapshot is open, its key, its columns.
        """
        script, other = self.story(), snapshot_of(Stream(self.stream.namespace, "others"), 3)
        alone = [_writes(self.plan(each, by(2))) for each in (script, other)]
        loader = self.make()
        together = zip_longest(*(self.planning(loader, each, by(2)) for each in (script, other)))
        found = [[one for one in planned if one] for planned in zip(*together, strict=True)]
        for planned, wanted in zip(found, alone, strict=True):
            expect(_same(_writes(planned), wanted), "a stream is planned otherwise beside another")


@contextmanager
def _shut() -> Iterator[None]:
    """Let this thread open nothing and start nothing."""
    this = threading.get_ident()

    def refused(name: str, original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            return _broken(name) if threading.get_ident() == this else original(*args, **kwargs)

        return call

    with ExitStack() as stack:
        for owner, name in _WORLD:
            stack.enter_context(patch.object(owner, name, refused(name, getattr(owner, name))))
        yield


def _broken(name: str) -> NoReturn:
    fail("a loader reaches for something outside", call=name)


def _writes(planned: Sequence[Planned]) -> list[Write]:
    return [write for one in planned for write in one.writes]


def _same(one: Sequence[Write], other: Sequence[Write]) -> bool:
    """Whether two sequences of writes say the same."""
    return len(one) == len(other) and all(
        _head(first) == _head(second) and _rows(first) == _rows(second)
        for first, second in zip(one, other, strict=True)
    )


def _head(write: Write) -> tuple[Any, ...]:
    return write.stream, write.mode, write.step, write.seq


def _rows(write: Write) -> list[dict[str, Any]] | None:
    return None if write.rows is None else write.rows.to_pylist()
