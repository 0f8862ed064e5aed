"""That a run is the same with an observer as without, whatever becomes of it; and that it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from etl_core.config import CommitPolicy, Duration, LoadSettings, RetryPolicy
from etl_core.engine.pipeline import Pipeline
from etl_core.events import Event
from etl_core.interfaces import Observer
from etl_core.model import Batch, Stream
from etl_core.testing.journal import Journal
from etl_core.testing.leftovers import Census
from etl_core.testing.observer.calls import ObserverKit
from etl_core.testing.observer.facts import event
from etl_core.testing.printed import printed_rows
from etl_core.testing.script import ScriptedSource
from etl_core.testing.stories import altered, truncated, wandering
from etl_core.testing.verdicts import expect, skip

__all__ = ["RunClauses"]

_MANY = 3000


class RunClauses(ObserverKit):
    """The clauses about whole runs, and about the end."""

    def test_a_run_is_the_same_with_it(self) -> None:
        """A pipeline that it watches reads, writes and keeps what it does without.

        Do nothing to batches, and raise nothing where you are asked what you listen to.
        """
        self._compare(self.make())

    def test_a_run_is_the_same_when_its_backend_is_away(self) -> None:
        """It can be made, and a run goes on as ever, when its backend cannot be reached.

        Connect when you send, not when you are made; give up early, count what is lost, and say it once.
        """
        self._compare(self.made_with(self._broken()))

    def test_a_run_is_the_same_when_it_is_stuck(self) -> None:
        """A run goes on while a call of it does not return, and it ends well afterwards.

        Events are left out then: `close` comes all the same, after whatever it heard.
        """
        gate = threading.Event()
        self._compare(_Disturbed(self.make(), gate.wait), after_run=gate.set)

    def test_a_run_is_the_same_when_it_raises(self) -> None:
        """A run goes on when every call of it raises; it hears no more then, and is closed.

        Release in `close` what the first calls began.
        """

        def fail_always() -> None:
            raise RuntimeError("the kit says to fail here")

        census = Census()
        self._compare(_Disturbed(self.make(), fail_always))
        left = census.left(self.grace)
        expect(not left, "something was left behind", left=", ".join(left))

    def test_it_closes_in_time(self) -> None:
        """`close` returns within `grace`, however much it heard just before.

        Bound what waits to be sent, and give up what cannot be sent by then.
        """
        with self.voice() as voice:
            voice.tell(_many())
            voice.show()
            voice.close()

    def test_it_ends_when_its_backend_is_away(self) -> None:
        """With its backend away calls return, `close` does within `grace`, and nothing is left.

        Bound every connection and every repetition; `close` must not wait for a backend to come back.
        """
        broken = self._broken()
        self._end_with(broken)
        census = Census()
        self._end_with(broken)
        left = census.left(self.grace)
        expect(not left, "something was left behind", left=", ".join(left))

    def _end_with(self, settings: Any) -> None:
        """Let it hear what it can in its time, whatever calls raise, as the hub does; and close."""
        deadline = time.monotonic() + self.grace
        with self.voice(self.made_with(settings)) as voice:
            for each in _many():
                if time.monotonic() > deadline:
                    break
                voice.do(partial(_quietly, voice.observer.on_event, each), "on_event")
            voice.do(partial(_quietly, voice.observer.close), "close")

    def _broken(self) -> Any:
        broken = self.broken_config()
        if broken is None:
            skip("it has no backend that can be away; give `broken_config` where it has one")
        return broken

    def _compare(self, observer: Observer, after_run: Callable[[], None] | None = None) -> None:
        _run(self.directory / "with", [("observed", observer)], after_run)
        found, wanted = printed_rows(self.directory / "with"), _without()
        differing = [stream for stream in wanted if found.get(stream) != wanted[stream]]
        expect(not differing, "the run wrote other rows", streams=", ".join(differing))


def _run(
    journal: Path,
    observers: Sequence[tuple[str, Observer]] = (),
    after_run: Callable[[], None] | None = None,
) -> None:
    """Run snapshots, changes, a truncate, a change of columns, and a failure that is retried."""
    first = wandering(Stream("shop", "orders"), 1)
    scripts = [first, altered(Stream("shop", "items")), truncated(Stream("shop", "notes"))]
    Pipeline(
        "conformance",
        ScriptedSource(*scripts, fail_before=[len(first.transactions)]),
        Journal(journal),
        observers=observers,
        load=LoadSettings(commit=CommitPolicy(max_wait=Duration(0.0))),
        retry=RetryPolicy(base=Duration(0.0)),
        after_run=after_run,
    ).run()


@lru_cache(maxsize=1)
def _without() -> dict[str, list[str]]:
    """Return the rows of the run that nothing observes."""
    with TemporaryDirectory(prefix="etl-conformance-") as directory:
        _run(Path(directory))
        return printed_rows(Path(directory))


class _Disturbed(Observer):
    """Lets an observer hear everything, and then something happens in the call."""

    def __init__(self, observer: Observer, disturb: Callable[[], object]) -> None:
        self._observer = observer
        self._disturb = disturb
        self.stages = observer.stages  # type: ignore[misc]
        self.payloads = observer.payloads  # type: ignore[misc]

    def on_event(self, event: Event) -> None:
        self._observer.on_event(event)
        self._disturb()

    def on_batch(self, stage: str, batch: Batch) -> None:
        self._observer.on_batch(stage, batch)
        self._disturb()

    def close(self) -> None:
        self._observer.close()


def _many() -> Sequence[Event]:
    facts = {"stream": "shop.orders", "rows": 1, "bytes": 80, "snapshot_rows": None}
    return [event("batch_read", facts, at=float(number)) for number in range(_MANY)]


def _quietly(call: Callable[..., object], *args: object) -> None:
    with suppress(Exception):  # the hub takes no notice either
        call(*args)
