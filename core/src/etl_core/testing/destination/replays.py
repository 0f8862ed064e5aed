"""Clauses about coming again: replayed changes, positions kept with the data, and a second opener."""

from __future__ import annotations

from etl_core.errors import EtlError, StateError
from etl_core.model import Position
from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.session import Session, loader_named
from etl_core.testing.destination.stories import long_story, row, short_story
from etl_core.testing.script import Script
from etl_core.testing.verdicts import expect, fail, skip

__all__ = ["Replays"]


class Replays(DestinationKit):
    """What came before is known again."""

    #: Whether a second opener displaces the first; None: where it keeps its position.
    fences: bool | None = None

    def test_a_replay_changes_nothing(self) -> None:
        """Changes at or below a stream's high-water mark are skipped, however they are cut.

        Store the highest `_etl_seq` with each stream's rows in one step; skip rows, not writes, at or below
        it. The beginning of a snapshot is always carried out, and sets it back to just below its own.
        """
        for name in self._de_duplicating():
            stories = [short_story(self.stream(f"{name}_short"), self.columns)]
            snapshot = name != "append"
            long = long_story(self.stream(f"{name}_long"), self.columns, snapshot=snapshot, default=None)
            stories.append(long)
            for script in stories:
                self._replay(script, name)

    def test_a_later_epoch_is_not_overwritten(self) -> None:
        """When what is there is of a later epoch than the run, it stops with StateError.

        Compare the epoch in the stream's mark with that in `_etl_seq` of what comes.
        """
        name = self._de_duplicating()[0]
        script = short_story(self.stream(), self.columns)
        with self.session(loader_named(name)) as session:
            session.tell(script)
            session.flush()
        try:
            with self.session(loader_named(name), epoch=0) as session:
                session.tell(script, 0, 1)
                session.flush()
        except StateError:
            self.expect_outcome(script, name)
            return
        fail("a run of an earlier epoch was let in")

    def test_a_new_epoch_comes_again(self) -> None:
        """What comes at a higher epoch, as after a reset, is above every mark, whatever the rest of its seq.

        Compare whole sequences, all 20 bytes: the epoch is the first 4 of them.
        """
        for name in self._de_duplicating():
            before, after = (Script(self.stream(name), self.columns) for _ in range(2))
            before.insert(row(1)).commit().insert(row(2)).commit()
            after.insert(row(3)).commit()
            for epoch, script in ((1, before), (2, after)):
                with self.session(loader_named(name), epoch=epoch) as session:
                    session.tell(script)
                    session.flush()
            found = sorted(self.ids(self.stream(name)))
            expect(found == [1, 2, 3], "rows of a higher epoch are not there", loader=name)

    def test_the_position_is_kept_with_the_data(self) -> None:
        """`resume_position` is what the last `flush` was given, and `set_position` replaces or clears it.

        Store the position's JSON; keep one per `ctx.pipeline`.
        """
        if not self.probe.keeps_position:
            skip("it does not keep its position")
        other = Position(3, 7, {"lsn": "0/16", "list": [1, None]}, complete=False, snapshots=(self.stream(),))
        with self.session() as session:
            destination = session.destination
            expect(destination.resume_position() is None, "a new pipeline has a position")
            session.tell(self.something(self.stream()))
            flushed = session.flush({"at": 1})
            expect(destination.resume_position() == flushed, "the position is not the one that was flushed")
        for position in (other, None):
            with self.session() as session:
                session.destination.set_position(position)
            with self.session() as session:
                found = session.destination.resume_position()
                expect(
                    found == position, "the position is not the one that was set", cleared=position is None
                )

    def test_pipelines_keep_apart(self) -> None:
        """Two pipelines that load into one place have each its own position, fence and unfinished snapshot.

        Keep what belongs to a run under `ctx.pipeline`.
        """
        name = self.loaders()[0]
        scripts = [self.something(self.stream(each)) for each in ("one", "other")]
        for script in scripts:
            self.run(script, name)
            self.expect_outcome(script, name)
        for script in scripts:
            more = script.snapshot([row(8)]) if name == "replace" else script.insert(row(8)).commit()
            self.run(more, name)
            self.expect_outcome(script, name)

    def test_the_last_opener_has_the_fence(self) -> None:
        """Once a second copy has opened it, the first one's commit raises StateError and leaves nothing.

        Store the fence in `open`, and let every commit require in the same transaction that it is there.
        """
        if not (self.probe.keeps_position if self.fences is None else self.fences):
            skip("it claims no fence: set `fences = True` if it has one")
        name = self.loaders()[0]
        with self.session(loader_named(name)) as session:
            self._tell_one(session, 0, name)
            session.flush()
        with self.session(loader_named(name), fence="first") as displaced:
            self._tell_one(displaced, 1, name)
            winner = self._take_over(name)
            try:
                displaced.flush("first")
                committed = True
            except StateError:
                committed = False
            displaced.abort()
        expect(committed is not winner, "a displaced copy committed" if winner else "nobody can commit")
        found = sorted(self.ids(self.stream()))
        wanted = [2 if winner else 1] if name == "replace" else [0, 2 if winner else 1]
        expect(found == wanted, "rows of the copy that could not commit are there, or others are not")

    def _tell_one(self, session: Session, id: int, loader: str) -> None:
        """Tell of one row, with sequences above those of rows with lower numbers."""
        script, first = Script(self.stream(), self.columns), 0
        for each in range(id + 1):
            first = len(script.transactions)
            script = (
                script.snapshot([row(each)]) if loader == "replace" else script.insert(row(each)).commit()
            )
        session.tell(script, first)

    def _take_over(self, name: str) -> bool:
        """Open a second copy and commit with it; False where it is not let in while the first is there."""
        with self.context() as ctx:
            destination = self.make()
            try:
                destination.open(ctx, "second")
            except EtlError:
                destination.close()
                return False
            destination.close()
        with self.session(loader_named(name), fence="second") as session:
            self._tell_one(session, 2, name)
            session.flush("second")
        return True

    def _replay(self, script: Script, name: str) -> None:
        """Tell a story, then again whole and from the middle, cut in other ways."""
        loader = loader_named(name)
        for first, cut in ((0, None), (0, 1), (1, 2), (2, 3), (0, 2)):
            if first and script.stream.name.endswith("_long"):
                continue  # what comes first decides what is there
            with self.session(loader) as session:
                session.tell(script, first, cut=cut)
                session.flush()
            self.expect_outcome(script, name, loader=name, cut=cut, replayed_from=first)

    def _de_duplicating(self) -> list[str]:
        if self.probe.keeps_position:
            skip("it keeps its position: nothing comes again")
        able = [name for name in self.following() if self.exact(name)]
        return able or skip("it is at-least-once")
