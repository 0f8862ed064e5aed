"""Clauses about the life of a destination: checked, opened, looked at, closed, cancelled."""

from __future__ import annotations

import threading

from etl_core.errors import Cancelled
from etl_core.interfaces import Destination
from etl_core.model import TableSchema
from etl_core.schema import with_key
from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.session import loader_named, pipeline
from etl_core.testing.destination.stories import row, short_story
from etl_core.testing.leftovers import Census
from etl_core.testing.script import Script, ScriptedSource
from etl_core.testing.verdicts import expect, fail, skip

__all__ = ["Basics"]


class Basics(DestinationKit):
    """The life of a destination."""

    def test_checking_changes_nothing(self) -> None:
        """`check` makes no table, no file and no position, whether there is something already or not.

        Look at what is there without opening it for writing; leave what `open` makes to `open`.
        """
        self._check_twice("before anything is there")
        with self.session() as session:
            session.tell(self.something(self.stream()))
            session.flush()
        before = self.rows(self.stream()).num_rows
        self._check_twice("with a table there")
        expect(self.rows(self.stream()).num_rows == before, "`check` changed rows")

    def test_it_opens_again_after_close(self) -> None:
        """The same object can be opened again after `close`, as a retried run does, and goes on.

        Keep nothing from the life before in the object but its settings; make connections in `open`.
        """
        name = self.following()[0]
        script, destination = short_story(self.stream(), self.columns), self.make()
        loader = loader_named(name)
        for first, last in ((0, 1), (1, 3)):
            with self.session(loader, destination=destination) as session:
                session.tell(script, first, last)
                session.flush()
        self.expect_outcome(script, name)

    def test_closing_is_harmless(self) -> None:
        """`abort` and `close` do nothing to what was never opened, and `close` nothing the second time.

        They are called after a failed `open` too: release what is there, and forget it.
        """
        destination = self.make()
        destination.abort()
        destination.close()
        with self.session(destination=destination):
            pass
        destination.close()

    def test_an_absent_table_is_none(self) -> None:
        """`table` of a stream that has no table is None, and asking makes none.

        Look the table up; do not raise, and do not create it before `ensure`.
        """
        with self.session() as session:
            expect(session.destination.table(self.stream("absent")) is None, "a table that is not there")
        expect(self.read_back(self.stream("absent")) is None, "asking for a table made it")

    def test_a_table_is_as_it_was_asked_for(self) -> None:
        """What `table` says after `ensure` is what was asked for: columns as `stored`, control columns, key.

        Read the columns from the system itself, and keep the key and the names of control columns beside it.
        """
        if type(self.probe).table is Destination.table:
            skip("it does not say what tables are there")
        for name in self.loaders():
            asked = loader_named(name).schema(self.stream(name), with_key(self.columns, ["id"]))
            with self.session() as session:
                session.destination.ensure(asked, ())
                self._expect_table(asked, session.destination.table(asked.stream), "before the flush", name)
                session.flush()
            with self.session() as session:
                self._expect_table(asked, session.destination.table(asked.stream), "opened again", name)

    def test_a_cancelled_run_ends_and_goes_on(self) -> None:
        """A cancelled run ends in time, leaves nothing behind, and the next one goes on where it stopped.

        Let nothing block for ever: look at `ctx.cancel`, or interrupt a call from `ctx.on_cancel`.
        """
        name = self.following()[0]
        script = short_story(self.stream(), self.columns)
        self.run(
            short_story(self.stream("before"), self.columns), name
        )  # what stays for the process is there
        census = Census()
        self._cancelled(script, name)
        left = census.left(self.grace)
        expect(not left, "a cancelled run left something behind", left=", ".join(left))
        script.insert(row(9)).commit()
        self.run(script, name)
        self.expect_outcome(script, name)

    def _cancelled(self, script: Script, loader: str) -> None:
        cancel, source = threading.Event(), ScriptedSource(script, endless=True)
        running = pipeline(
            self.named(script), source, self.make(), loader_named(loader), self.state, self.directory
        )
        ended: list[BaseException | None] = []

        def run() -> None:
            try:
                running.run(cancel=cancel)
            except BaseException as error:  # noqa: BLE001 - looked at below
                ended.append(error)

        thread = threading.Thread(target=run, name="cancelled run")
        thread.start()
        source.idle.wait(self.grace)
        cancel.set()
        thread.join(self.grace + running.grace)
        expect(not thread.is_alive(), "a cancelled run did not end", grace=self.grace)
        outcome = type(ended[0]).__name__ if ended else "nothing"
        expect(outcome == Cancelled.__name__, "a cancelled run did not say so", raised=outcome)

    def _check_twice(self, when: str) -> None:
        before = self._files()
        for _ in range(2):
            with self.context() as ctx:
                destination = self.make()
                destination.check(ctx)
                destination.close()
        expect(self._files() == before, "`check` changed files", when=when)
        if when == "before anything is there":
            expect(self.read_back(self.stream()) is None, "`check` made a table")

    def _files(self) -> dict[str, tuple[int, int]]:
        found = (path for path in self.directory.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}

    def _expect_table(self, asked: TableSchema, there: TableSchema | None, when: str, loader: str) -> None:
        if there is None:
            fail("a table that was ensured is not there", when=when, loader=loader)
        fold, stored = self.probe.fold, self.probe.stored
        wanted = {fold(each.name): stored(each.type) for each in [*asked.columns, *(asked.control or ())]}
        found = {fold(each.name): each.type for each in [*there.columns, *(there.control or ())]}
        lacking, other = (
            wanted.keys() - found.keys(),
            [n for n in found if found[n] != wanted.get(n, found[n])],
        )
        expect(not lacking, "columns are not there", columns=", ".join(sorted(lacking)), when=when)
        expect(not other, "columns have another type than `stored` says", columns=", ".join(other), when=when)
        key = tuple(map(fold, there.key))
        expect(key == tuple(map(fold, asked.key)), "the key is another", when=when, loader=loader)
