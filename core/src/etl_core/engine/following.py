"""Announced schema changes, followed in order: what a comparison of columns alone cannot tell.

A rename would look like one column gone and another new, a column that was dropped and added again
like one that stayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeGuard

from etl_core.config import SchemaPolicy
from etl_core.engine.plan import Working
from etl_core.errors import SchemaError
from etl_core.model import AddColumn, Change, DropColumn, RenameColumn, Stream

__all__ = ["Following"]


class Following:
    """Follows the announced changes that reach the table; transforms may have hidden some.

    `wanted` holds the folded names of the columns that rows have now. In a mirror a column that comes
    into being takes the place of a kept one of its name; a history keeps what it has.
    """

    def __init__(
        self,
        stream: Stream,
        working: Working,
        wanted: AbstractSet[str],
        policy: SchemaPolicy,
        *,
        history: bool,
        drop: bool,
    ) -> None:
        self._stream = stream
        self._working = working
        self._wanted = wanted
        self._policy = policy
        self._history = history
        self._drop = drop

    def follow(self, changes: Sequence[Change]) -> Mapping[str, AddColumn]:
        """Apply renames and drops to the working table; return the additions by folded name."""
        added: dict[str, AddColumn] = {}
        for index, change in enumerate(changes):
            later = changes[index + 1 :]
            if isinstance(change, DropColumn):
                self._dropped(change, later)
            elif isinstance(change, RenameColumn):
                self._renamed(change, later)
            elif isinstance(change, AddColumn) and self._fold(change.name) in self._wanted:
                self._make_room(change.name)
                added[self._fold(change.name)] = change
        return added

    def _dropped(self, change: DropColumn, later: Sequence[Change]) -> None:
        name = self._fold(change.name)
        stays = name in self._wanted and name not in self._arriving(later)
        if self._working.find(change.name) is None or stays:
            return
        if self._policy.removed_column == "freeze":
            raise self._frozen("removed_column", change.name)
        if self._drop:
            self._working.drop(change.name)

    def _renamed(self, change: RenameColumn, later: Sequence[Change]) -> None:
        if self._working.find(change.old) is None or self._final(change.new, later) not in self._wanted:
            return
        if "freeze" in (self._policy.new_column, self._policy.removed_column):
            raise self._frozen("new_column and removed_column", change.old, renamed_to=change.new)
        if self._policy.new_column == "discard":
            return
        if self._fold(change.old) != self._fold(change.new):
            self._make_room(change.new)
            if self._working.find(change.new) is not None:
                return
        self._working.rename(change.old, change.new)

    def _make_room(self, name: str) -> None:
        taken = self._working.find(name) is not None
        if taken and not self._history and self._policy.new_column == "evolve":
            self._working.drop(name)

    def _final(self, name: str, later: Sequence[Change]) -> str:
        """Return the folded name that a column has after the later renames."""
        for change in later:
            if isinstance(change, RenameColumn) and self._fold(change.old) == self._fold(name):
                name = change.new
        return self._fold(name)

    def _arriving(self, changes: Sequence[Change]) -> AbstractSet[str]:
        names = [c.new if isinstance(c, RenameColumn) else c.name for c in changes if _arrives(c)]
        return {self._fold(name) for name in names}

    def _fold(self, name: str) -> str:
        return self._working.fold(name)

    def _frozen(self, axis: str, column: str, **facts: str) -> SchemaError:
        return SchemaError(
            "the schema is frozen and the source changed it",
            f"change the table to match, or let load.schema.{axis} evolve",
            stream=str(self._stream),
            column=column,
            **facts,
        )


def _arrives(change: Change) -> TypeGuard[AddColumn | RenameColumn]:
    return isinstance(change, AddColumn | RenameColumn)
