"""Clauses about what is durable when: accepted, marked, flushed, aborted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from etl_core.engine import failpoints
from etl_core.engine.committing import is_pipelined
from etl_core.model import Position, Stream
from etl_core.testing.children import run_part, spec_of
from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.parts import kit_of
from etl_core.testing.destination.session import Interrupted, Session, loader_named
from etl_core.testing.destination.stories import row, short_story
from etl_core.testing.script import Script, ScriptedSource
from etl_core.testing.verdicts import expect, fail, skip

__all__ = ["Durability"]


def flush_and_write(argument: Mapping[str, Any]) -> None:
    """Flush the first transaction, write the others, and die."""
    kit = kit_of(argument["spec"])
    with kit.context() as ctx, Session(kit.make(), ctx, loader_named(argument["loader"])) as session:
        script = short_story(kit.stream(), kit.columns)
        session.tell(script, 0, 1)
        session.destination.flush(Position.from_json(argument["position"]))
        session.tell(script, 1)
        failpoints.hit("after_flush")


def mark_and_wait(argument: Mapping[str, Any]) -> None:
    """Mark the first transaction, and die as soon as the mark is said to be durable."""
    kit = kit_of(argument["spec"])
    with kit.context() as ctx, Session(kit.make(), ctx, loader_named(argument["loader"])) as session:
        session.tell(short_story(kit.stream(), kit.columns), 0, 1)
        session.destination.mark(Position.from_json(argument["position"]))
        while session.destination.durable() is None:
            time.sleep(0.005)
        failpoints.hit("after_flush")


class Durability(DestinationKit):
    """Accepted is not durable; flushed is."""

    def test_accepted_is_not_durable(self) -> None:
        """Nothing of what `write` took is there before `flush`, and `close` does not flush it.

        Write into a transaction, a staging area or memory; let only `flush` commit, with the position.
        """
        name = self._keeping()
        script = short_story(self.stream(), self.columns)
        with self.session(loader_named(name)) as session:
            session.tell(script, 0, 1)
            kept = session.flush("first")
            session.tell(script, 1)
        self.expect_outcome(script, name, 1, when="closed without a flush")
        self._expect_position(kept)

    def test_a_kill_takes_only_what_was_not_flushed(self) -> None:
        """When `flush` returned, rows and position outlive SIGKILL; what was written after it does not count.

        Return from `flush` when the system has confirmed the commit: not when the client has sent it.
        """
        name = self.following()[0]
        position = Position(1, 1, {"told": 1})
        argument = {"spec": spec_of(self), "loader": name, "position": position.to_json()}
        if run_part(flush_and_write, argument, kill_at="after_flush"):
            fail("the part of the clause that is killed came to its end")
        script = short_story(self.stream(), self.columns)
        if self.probe.keeps_position:
            self.expect_outcome(script, name, 1, when="killed after a flush")
            self._expect_position(position)
        else:
            self._expect_some(script, name, 1)

    def test_abort_forgets(self) -> None:
        """After `abort` nothing that was accepted before counts, also when the next `flush` comes.

        Roll the transaction back, or drop what waits; one that keeps its position has it unchanged.
        """
        name = self.following()[0]
        first, aborted, last = (Script(self.stream(), self.columns) for _ in range(3))
        first.insert(row(1))
        aborted.insert(row(1)).commit().insert(row(2))
        last.insert(row(1)).commit().insert(row(2)).commit().insert(row(3))
        with self.session(loader_named(name)) as session:
            session.tell(first)
            kept = session.flush("first")
            session.tell(aborted, 1)
            session.abort()
            if self.probe.keeps_position:
                found = session.destination.resume_position()
                expect(found == kept, "the position after an abort is another")
            session.tell(last, 2)
            session.flush("last")
        allowed = {1, 3} if self.probe.keeps_position else {1, 2, 3}
        ids = set(self.ids(self.stream()))
        expect({1, 3} <= ids, "rows that were flushed are not there")
        expect(ids <= allowed, "rows that were aborted are there")

    def test_marks_become_durable_in_order(self) -> None:
        """`durable` names marks only, in order, once they are durable; it never waits.

        Confirm marks from a thread of `ctx.spawn`; let `durable` look at what that thread has noted.
        """
        if not is_pipelined(self.probe):
            skip("it has no `mark` and `durable`")
        name = self.following()[0]
        script = short_story(self.stream(), self.columns)
        with self.session(loader_named(name)) as session:
            destination = session.destination
            session.tell(script, 0, 1)
            expect(destination.durable() is None, "something is durable before anything was marked")
            marks = [session.position(1)]
            destination.mark(marks[0])
            session.tell(script, 1)
            marks.append(session.position(3))
            destination.mark(marks[1])
            self._await_marks(session, marks)
        self.expect_outcome(script, name)

    def test_a_kill_takes_nothing_of_a_durable_mark(self) -> None:
        """When `durable` names a mark, the rows before it outlive SIGKILL.

        Name a mark when the system has confirmed what lies before it: not when it was sent, nor soon after.
        """
        if not is_pipelined(self.probe):
            skip("it has no `mark` and `durable`")
        name, position = self.following()[0], Position(1, 1, {"told": 1})
        argument = {"spec": spec_of(self), "loader": name, "position": position.to_json()}
        if run_part(mark_and_wait, argument, kill_at="after_flush"):
            fail("the part of the clause that is killed came to its end")
        self._expect_some(short_story(self.stream(), self.columns), name, 1)

    def test_streams_share_a_flush(self) -> None:
        """What several streams wrote in turns is all durable with one flush.

        Keep what waits by stream, in the order in which it came, and let `flush` take all of it.
        """
        for name in self.loaders():
            scripts = [self._short(name, self.stream(f"{name}_{each}")) for each in ("one", "two", "three")]
            with self.session(loader_named(name)) as session:
                for number in range(len(scripts[0].transactions)):
                    for script in scripts:
                        session.tell(script, number, number + 1)
                session.flush()
            for script in scripts:
                self.expect_outcome(script, name, loader=name, streams=len(scripts))

    def _short(self, loader: str, stream: Stream) -> Script:
        if loader != "replace":
            return short_story(stream, self.columns)
        return Script(stream, self.columns).snapshot([row(1), row(2), row(3)], parts=2)

    def test_a_failure_between_write_and_flush_loses_nothing(self) -> None:
        """After a failure that is retried, everything is there as if it had not happened.

        Let `abort` leave the object as it was after the last `flush`, ready to be opened and written to.
        """
        for name in self.following():
            script = short_story(self.stream(name), self.columns)
            source = ScriptedSource(script, cut=1, fail_before=(2,))
            self.run(script, Interrupted(loader_named(name), {2, 7}), source=source, max_rows=1)
            self.expect_outcome(script, name, loader=name)

    def _await_marks(self, session: Session, marks: list[Position]) -> None:
        """Expect both marks, in order, and nothing else, within the grace period."""
        deadline, seen = time.monotonic() + self.grace, [Position(0, 0, None)]
        while seen[-1] != marks[-1]:
            done = session.destination.durable()
            if done is None:
                expect(time.monotonic() < deadline, "a mark did not become durable", grace=self.grace)
                time.sleep(0.005)
                continue
            expect(done[0] in marks, "a position is durable that was not marked")
            expect(done[0].order > seen[-1].order, "marks became durable out of order, or twice")
            seen.append(done[0])

    def _keeping(self) -> str:
        if not self.probe.keeps_position:
            skip("it does not keep its position: what it accepted may be delivered at any time")
        return self.following()[0]

    def _expect_position(self, wanted: Position) -> None:
        with self.session() as session:
            found = session.destination.resume_position()
        expect(found == wanted, "the position is not the one that was flushed", found=found is not None)

    def _expect_some(self, script: Script, loader: str, upto: int) -> None:
        """Expect at least the first transactions, whatever else was delivered."""
        ids = {each["id"] for each in script.mirror(upto).values()}
        found = set(self.ids(script.stream))
        later = {1} if loader != "append" else set()  # a later transaction removes it from a mirror
        expect(ids - later <= found, "rows that were flushed are not there", missing=len(ids - found))
