"""That an observer takes everything it may be shown, and leaves it as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

from etl_core.processwide import Noted
from etl_core.testing.observer.calls import ObserverKit, Voice
from etl_core.testing.observer.facts import FACTS, batches, event, newer, payloads, usual
from etl_core.testing.printed import bytes_of
from etl_core.testing.verdicts import Failed, expect, fail, skip

__all__ = ["HearingClauses"]

_STAGES = frozenset({"source", "transform", "load"})


class HearingClauses(ObserverKit):
    """The clauses about events, batches and payloads."""

    def test_every_event_is_taken(self) -> None:
        """It takes every event of `etl_core.events.EVENTS`, with every fact that may be null being null.

        Take facts with `.get`, and pass by what you do not need.
        """
        with self.voice() as voice:
            for name, shapes in FACTS.items():
                for facts in shapes:
                    _take(voice, partial(voice.observer.on_event, event(name, facts)), event=name)
            voice.close()

    def test_events_stay(self) -> None:
        """The facts of an event are the same afterwards, those within others too.

        Every observer hears the same event: copy what you change.
        """
        with self.voice() as voice:
            for each in usual():
                before = deepcopy(each.facts)
                _take(voice, partial(voice.observer.on_event, each), event=each.name)
                expect(each.facts == before, "it changed the facts of an event", event=each.name)
            voice.close()

    def test_the_process_stays_as_it_was(self) -> None:
        """It changes no working directory, environment, signals, timeout of sockets or levels of logging.

        The process is the run's, and everybody's: keep settings to the objects that you made.
        """
        noted = Noted()
        with self.voice() as voice:
            voice.tell(usual())
            voice.show()
            changed = noted.undone()
            voice.close()
        changed += noted.undone()
        what = ", ".join(f"{what}{more}" for what, more in changed)
        expect(not changed, "it changed what the process has once for everybody", changed=what)

    def test_events_of_a_newer_core_are_taken(self) -> None:
        """It passes by events that it does not know, and facts that it does not know.

        Cores add events and facts without another `api` number.
        """
        with self.voice() as voice:
            for each in newer():
                _take(voice, partial(voice.observer.on_event, each), event=each.name)
            voice.close()

    def test_events_come_in_any_order(self) -> None:
        """It takes events whose beginnings it did not hear, twice the same, and no event at all.

        What it cannot take in time is left out: an end may come without a beginning.
        """
        with self.voice() as silent:
            _take(silent, silent.observer.close, event="none, then close")
        with self.voice() as voice:
            for each in [*reversed([*usual()]), *usual(), *usual()]:
                _take(voice, partial(voice.observer.on_event, each), event=each.name)
            voice.close()

    def test_batches_are_taken_and_stay(self) -> None:
        """Where it asks for batches it takes every kind, empty and wide ones too, and changes none.

        Their memory is shared with the run: never write into it.
        """
        with self.voice() as voice:
            asked = voice.observer.stages
            unknown = ", ".join(sorted(asked - _STAGES))
            expect(not unknown, "it asks for a stage that does not exist", stages=unknown)
            if not asked:
                voice.close()
                skip("it asks for no batches")
            for stage in sorted(asked):
                for kind, batch in batches():
                    before = bytes_of(batch)
                    _take(voice, partial(voice.observer.on_batch, stage, batch), stage=stage, batch=kind)
                    expect(bytes_of(batch) == before, "it changed a batch", stage=stage, batch=kind)
            voice.close()

    def test_payloads_are_taken_and_stay(self) -> None:
        """Where it asks for payloads it takes any format, any sort of buffer and none, and changes none.

        `format` and `schema` are the destination's own: pass by what you do not know.
        """
        with self.voice() as voice:
            if not voice.observer.payloads:
                voice.close()
                skip("it asks for no payloads")
            for stream, form, schema, buffers in payloads():
                before = _contents(buffers)
                _take(voice, partial(voice.observer.on_payload, stream, form, schema, buffers), format=form)
                expect(_contents(buffers) == before, "it changed a payload", format=form)
            voice.close()

    def test_two_beside_each_other(self) -> None:
        """Two instances do not disturb each other: when one is closed the other goes on.

        Keep nothing in the module or the class; where both cannot have the same settings give `other_config`.
        """
        with self.voice() as one, self.voice(self.made_with(self.other_config())) as other:
            for each in usual():
                for voice in (one, other):
                    _take(voice, partial(voice.observer.on_event, each), event=each.name)
            _take(one, one.observer.close, event="close")
            for each in usual():
                _take(other, partial(other.observer.on_event, each), event=each.name, other="closed")
            _take(other, other.observer.close, event="close", other="closed")


def _take(voice: Voice, call: Callable[[], object], **facts: Any) -> None:
    """Make one call; break the clause when it raises."""
    try:
        voice.do(call, "")
    except Failed as late:
        fail(late.message, **facts)
    except BaseException as error:  # noqa: BLE001 - whatever it raises, it may not
        fail("it raises at something that a run may show it", error=type(error).__name__, **facts)


def _contents(buffers: Sequence[Any]) -> list[bytes]:
    return [bytes(memoryview(buffer)) for buffer in buffers]
