"""Where a relation's changes go: nowhere, or to a stream with columns that may have changed."""

from __future__ import annotations

import attrs
from attrs import frozen

from etl_core import Change, FatalError, Stream
from etl_postgres_cdc import catalog as catalogs
from etl_postgres_cdc.alignment import align
from etl_postgres_cdc.catalog import Table
from etl_postgres_cdc.changes import differences
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.pgoutput import Begin, Relation
from etl_postgres_cdc.position import Column, TableState
from etl_postgres_cdc.session import Session

__all__ = ["Target", "Targets"]


@frozen
class Target:
    """Where a relation's changes go; without a layout nowhere. A `passing` one ends with its transaction.

    `changes` lead to the layout from what was known; `state` is what is known with them.
    """

    stream: Stream
    layout: Layout | None = None
    snapshot: int = 0
    state: TableState | None = None
    changes: tuple[Change, ...] = ()
    passing: bool = False


class Targets:
    """Looks relations up by what the server said of them last."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._relations: dict[int, Relation] = {}
        self._known: dict[int, Target] = {}
        #: Relations that are wanted and of which nothing is known yet.
        self.unknown: set[int] = set()
        self._absent: set[int] = set()
        #: When what is replayed came; None: nothing is, relations are announced as they come.
        self.replaying: int | None = None
        self._arrivals = 0
        self._latest: dict[int, tuple[int, Relation]] = {}

    def arrival(self) -> int:
        """Number what comes: announcements and kept pieces of transactions in progress."""
        self._arrivals += 1
        return self._arrivals

    def announce(self, relation: Relation) -> None:
        """Take what the server says of a relation from here on."""
        arrived = self.arrival() if self.replaying is None else self.replaying
        if arrived >= self._latest.get(relation.relation, (0, relation))[0]:
            self._latest[relation.relation] = (arrived, relation)
        self._relations[relation.relation] = relation
        self._known.pop(relation.relation, None)

    def settle(self) -> bool:
        """End a replay: what the server said of a relation last holds again; say whether that is another.

        The server describes a table again only when its description changed since it last did, whether that
        was for a transaction in progress or not.
        """
        self.replaying = None
        older = [
            relation
            for relation, (_, latest) in self._latest.items()
            if self._relations.get(relation) not in (None, latest)
        ]
        for relation in older:
            self._relations[relation] = self._latest[relation][1]
            self._known.pop(relation, None)
        return bool(older)

    def forget(self) -> None:
        """Look at every relation again: snapshots were taken, or tables joined."""
        self._known.clear()
        self._absent |= self.unknown  # a relation that is gone is looked for once
        self.unknown.clear()

    def get(self, relation: int) -> Target | None:
        """Return the target of a relation that was resolved before."""
        return self._known.get(relation)

    def resolve(self, begin: Begin, relation: int) -> Target:
        """Find the target of a relation for a change of this transaction.

        A target with `changes` or `state` is to be settled by the caller before its first row.
        """
        message = self._relations.get(relation)
        if message is None:
            raise FatalError("the server sent a change of a relation that it did not describe")
        self._leave(begin, message)
        stream = Stream(message.namespace, message.name)
        state = self._session.progress.tables.get(stream) if self._session.selection(stream) else None
        if state and state.snapshot is not None and begin.lsn < state.snapshot:
            return Target(stream, passing=True)
        target = self._target(begin, message, stream, state)
        self._known[relation] = attrs.evolve(target, changes=(), state=None)
        return target

    def incomplete(self, relation: int) -> None:
        """Have a table copied again of which a row came without all its values.

        An update that moves a row into a row filter is sent as an insert, without unchanged TOAST values.
        """
        target = self._known[relation]
        state = self._session.progress.tables[target.stream]
        reason = "a row moved into the publication's filter without all its values"
        self._known[relation] = self._copy_again(target.stream, state, reason)

    def _target(self, begin: Begin, message: Relation, stream: Stream, state: TableState | None) -> Target:
        if state is None:
            if self._session.selection(stream) and message.relation not in self._absent:
                self.unknown.add(message.relation)
            return Target(stream)
        if state.snapshot is None:
            return Target(stream)
        if state.relation != message.relation:
            return self._copy_again(stream, state, "the table was made anew")
        table = self._table(stream, message.relation)
        columns, key = self._columns(begin, message, state, table)
        if state.columns and set(key) != set(state.key):
            return self._copy_again(stream, state, "the table has another key")
        return self._settled(stream, state, columns, key, table)

    def _settled(
        self,
        stream: Stream,
        state: TableState,
        columns: tuple[Column, ...],
        key: tuple[int, ...],
        table: Table,
    ) -> Target:
        layout = self._session.layout(columns, key)
        after = attrs.evolve(state, columns=columns, key=key)
        changes: tuple[Change, ...] = ()
        if state.columns:
            changes = differences(state.columns, columns, table.attributes, self._session.types)
        return Target(stream, layout, state.snapshot or 0, None if after == state else after, changes)

    def _copy_again(self, stream: Stream, state: TableState, reason: str) -> Target:
        self._session.ctx.logger.warning(
            "{stream} will be copied again: {reason}", stream=stream, reason=reason
        )
        self._session.progress.set(stream, attrs.evolve(state, snapshot=None))
        return Target(stream)

    def _leave(self, begin: Begin, relation: Relation) -> None:
        """Have what the table is under another name copied again, should it have that name once more.

        Its changes go to this name from here on. Where the other is not there, the copy forgets it.
        """
        own = Stream(relation.namespace, relation.name)
        for stream, state in list(self._session.progress.tables.items()):
            left = stream != own and state.relation == relation.relation
            if left and state.snapshot is not None and begin.lsn >= state.snapshot:
                self._copy_again(stream, state, f"the table was called {own} meanwhile")

    def _table(self, stream: Stream, relation: int) -> Table:
        """Return the catalog's view of a table, which may be ahead of the stream, or empty."""
        found = catalogs.published_table(self._session.catalog, self._session.publication, stream)
        if found and found.oid == relation:
            return found
        attributes = catalogs.attributes(self._session.catalog, relation)
        return Table(stream, relation, "r", "d", attributes=attributes)

    def _columns(
        self, begin: Begin, message: Relation, state: TableState, table: Table
    ) -> tuple[tuple[Column, ...], tuple[int, ...]]:
        columns = align(state.columns, table.attributes, message.columns, begin.xid)
        numbers = [column.number for column in columns]
        if message.identity in "di":
            key = [n for n, column in zip(numbers, message.columns, strict=True) if column.key]
        else:
            key = [n for n in table.key or state.key if n in numbers]
        known = table.key if set(key) == set(table.key) else state.key
        return columns, tuple(known) if set(key) == set(known) else tuple(key)
