"""Clauses about snapshots: rows that appear together, and runs that are begun again."""

from __future__ import annotations

from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.session import loader_named
from etl_core.testing.destination.stories import row
from etl_core.testing.script import Script
from etl_core.testing.verdicts import expect, skip

__all__ = ["Snapshots"]


class Snapshots(DestinationKit):
    """Snapshots in parts."""

    def test_a_snapshot_of_a_table_with_rows(self) -> None:
        """A snapshot becomes the whole table of a mirror, and adds its rows to a history.

        A destination that does not stage gets a TRUNCATE, then rows; one that stages gets steps.
        """
        for name in self.following():
            script = Script(self.stream(name), self.columns)
            script.insert(row(1, "before"), row(2)).commit()
            script.snapshot([row(1, "read"), row(3)], parts=2).insert(row(4)).commit()
            self.run(script, name)
            self.expect_outcome(script, name, loader=name)

    def test_staged_rows_appear_at_the_end(self) -> None:
        """Rows of a snapshot are not seen before END, and then all of them at once, however long it takes.

        Keep them beside the table, durable with each `flush`, also when it is closed and opened again.
        """
        for name in self._staging():
            loader, script, begins = loader_named(name), self._story(name), self._begins(name)
            ends = len(script.transactions)
            for first, last in ((0, begins + 1), (begins + 1, ends - 1), (ends - 1, ends)):
                with self.session(loader) as session:
                    session.tell(script, first, last)
                    session.flush(last)
                seen, unfinished = self._ids(script), last < ends
                wanted = [9] if unfinished else sorted([1, 2, 3, *([9] if name == "append" else [])])
                expect(seen == wanted, _SOON if unfinished else _LOST, loader=name, part=last, of=ends)

    def test_a_new_beginning_discards_what_was_staged(self) -> None:
        """BEGIN discards the rows of a run that did not end.

        Make the place for staged rows anew at BEGIN, also when one is there.
        """
        for name in self._staging():
            loader, script = loader_named(name), self._story(name)
            begins = self._begins(name)
            again = Script(script.stream, self.columns, transactions=script.transactions[:begins])
            again.snapshot([row(5), row(6)])
            with self.session(loader) as session:
                session.tell(script, 0, begins + 2)
                session.flush()
            with self.session(loader_named(name)) as session:
                session.tell(again, begins)
                session.flush()
            wanted = sorted([5, 6, *([9] if name == "append" else [])])
            expect(self._ids(script) == wanted, "rows of a run that did not end are there", loader=name)

    def _staging(self) -> list[str]:
        if not self.probe.stages:
            skip("it does not stage snapshots")
        return self.loaders()

    def _story(self, name: str) -> Script:
        """Tell of a row that is there, then of a snapshot in parts."""
        script = Script(self.stream(name), self.columns)
        before = script.snapshot([row(9)]) if name == "replace" else script.insert(row(9)).commit()
        return before.snapshot([row(1), row(2), row(3)], parts=3)

    @staticmethod
    def _begins(name: str) -> int:
        """Return how many transactions of the story come before the snapshot in parts."""
        return 2 if name == "replace" else 1

    def _ids(self, script: Script) -> list[int]:
        return sorted(self.ids(script.stream))


_SOON = "rows of an unfinished snapshot can be seen"
_LOST = "a finished snapshot is not what is there"
