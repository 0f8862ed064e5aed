"""What the clauses of a state store share: stores, names of pipelines, positions and dead letters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

import attrs

from etl_core.document.fields import keys_of
from etl_core.errors import StateError
from etl_core.interfaces import DeadLetter, StateStore
from etl_core.model import Position, Stream
from etl_core.testing.common import CommonClauses
from etl_core.testing.verdicts import Failed, expect, fail, not_reached, skip

__all__ = ["STREAM", "StateClauses", "letter", "position"]

#: A stream whose name has to be quoted.
STREAM = Stream("a.b", 'c"ü')


def position(n: int, value: Any = None) -> Position:
    """Make a position with a value of its own."""
    return Position(7, n, {"lsn": n} if value is None else value)


def letter(pipeline: str, n: int = 1, **changed: Any) -> DeadLetter:
    """Make a dead letter, some of it `changed`."""
    facts: dict[str, Any] = {
        "pipeline": pipeline,
        "epoch": 7,
        "stream": STREAM,
        "seq": f"{n:040x}",
        "stage": "destination",
        "code": "no_base_row",
        "column": None,
        "row": b"row %d" % n,
        "at": 1_700_000_000.5,
    }
    return DeadLetter(**{**facts, **changed})


class StateClauses(CommonClauses):
    """A state store under test."""

    #: Whether the record outlives the process and is seen by other objects and processes.
    shared: ClassVar[bool] = True
    #: Seconds after which a claim whose holder was killed can be taken.
    lease: ClassVar[float] = 30.0
    #: The settings that bound the saved positions and the dead letters kept per pipeline; None: none does.
    history_setting: ClassVar[str | None] = None
    letters_setting: ClassVar[str | None] = None
    #: Try what depends on chance many times.
    thorough: ClassVar[bool] = False

    def broken_config(self) -> Mapping[str, Any] | None:
        """Return settings of a store that cannot be reached or written; None: it cannot be broken so."""
        return None

    def exercise(self) -> None:
        name = self.pipeline()
        with self.store() as store:
            store.check()
            fence = store.claim(name)
            store.save(fence, position(1))
            store.note(fence, {"at": 1.5})
            store.add_dead_letters(fence, [letter(name)])
            expect(store.load(name) == position(1), "the position that was saved is not loaded")
            store.history(name)
            store.noted(name)
            store.dead_letters(name)
            store.pipelines()
            store.holder(name)
            store.release(fence)

    def pipeline(self, suffix: str = "") -> str:
        """Return the name of a pipeline of this clause."""
        return self.namespace + suffix

    @contextmanager
    def store(self, **changed: Any) -> Iterator[StateStore]:
        """Give a new store; closed after the block."""
        made: StateStore = self.make(**changed)
        try:
            yield made
        finally:
            made.close()

    @contextmanager
    def another(self, store: StateStore) -> Iterator[StateStore]:
        """Give another object that sees the same record: the same one where the record is not shared."""
        if not self.shared:
            yield store
            return
        with self.store() as made:
            yield made

    def only_shared(self) -> None:
        """Leave out a clause about other objects and processes where they see nothing."""
        if not self.shared:
            skip("its record is seen by one object only")

    def left_out(self, name: str, what: str) -> NoReturn:
        """Leave out a clause where its settings cannot be, or the author says there are none; else ask."""
        config = self.registration.config
        if config is None or not attrs.fields(config):
            skip("it has no settings")
        if self.gives(name):
            skip(f"its kit says that there are no such settings: `{name}`")
        not_reached(f"give `{name}`, {what}, or say that it is None", settings=", ".join(keys_of(config)))

    def claimed(self, store: StateStore, pipeline: str) -> str:
        """Claim a pipeline whose holder is gone, once its lease has run out."""
        deadline = time.monotonic() + self.lease
        while True:
            try:
                return store.claim(pipeline)
            except StateError:
                if time.monotonic() > deadline:
                    fail("a claim whose holder is gone cannot be taken", seconds=self.lease)
                time.sleep(0.02)

    def refused(self, call: Callable[..., object], *arguments: Any, what: str) -> StateError:
        """Return the StateError that a call has to raise."""
        try:
            call(*arguments)
        except StateError as error:
            return error
        except Exception as error:  # noqa: BLE001 - which error it is instead is what to tell
            raise Failed(
                "refused, but not with a StateError", call=what, error=type(error).__name__
            ) from None
        raise Failed("accepted, where a StateError is due", call=what)
