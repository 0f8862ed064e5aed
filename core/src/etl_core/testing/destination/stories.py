"""Scripts for the clauses of destinations: some written by hand, some drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from random import Random

import pyarrow as pa

from etl_core.model import AddColumn, Stream
from etl_core.testing.script import COLUMNS, Row, Script

__all__ = ["long_story", "random_story", "row", "short_story"]

_KEYS = 9
_NOTES = [None, "", "x", "quoted \" and ' and \\", "é 漢 😀", "line\nline", "z" * 300]


def row(id: int, text: str | None = "first", note: str | None = "noted") -> Row:
    """Make a row of COLUMNS."""
    return {"id": id, "name": text, "amount": Decimal(id) / 4, "note": note}


def short_story(stream: Stream, columns: pa.Schema = COLUMNS) -> Script:
    """Tell of a few rows that come, change and go, in three transactions."""
    script = Script(stream, columns)
    script.insert(row(1), row(2), row(3)).commit()
    script.update(row(2, "second")).delete({"id": 1}).commit()
    return script.insert(row(4), row(1, "again")).update(row(4, None, None)).commit()


def long_story(
    stream: Stream, columns: pa.Schema = COLUMNS, *, snapshot: bool = True, default: int | None = 7
) -> Script:
    """Tell of a snapshot in parts, changes of every kind, and a column that is added with a default."""
    script = Script(stream, columns)
    if snapshot:
        script.snapshot([row(n) for n in range(1, 7)], parts=3)
    else:
        script.insert(*(row(n) for n in range(1, 7))).commit()
    script.insert(row(7)).update(row(1, "second")).commit()
    script.update({"id": 2, "name": "kept"}, unchanged=_all_but(columns, "id", "name"))
    script.update(row(20, "moved"), old_key={"id": 3}).delete({"id": 4}).commit()
    script.insert(row(3, "new")).insert(row(4, "back")).commit()
    wider = columns.append(pa.field("more", pa.int64()))
    script.alter(wider, AddColumn("more", pa.int64(), default))
    script.insert({**row(8), "more": 1}).update({**row(5, "third"), "more": None}).commit()
    return script.delete({"id": 20}, {"id": 6}).commit()


def random_story(stream: Stream, seed: int, size: int = 80, columns: pa.Schema = COLUMNS) -> Script:
    """Draw changes that a database could have sent: what is there is changed, what is not is inserted."""
    return _Telling(Script(stream, columns), Random(seed)).tell(size)  # noqa: S311 - to be repeated


def _all_but(columns: pa.Schema, *names: str) -> Sequence[str]:
    return [name for name in columns.names if name not in names]


class _Telling:
    """Draws one change after the other; `_there` are the keys of the rows that are there."""

    def __init__(self, script: Script, random: Random) -> None:
        self._script = script
        self._random = random
        self._there: set[int] = set()

    def tell(self, size: int) -> Script:
        for _ in range(size):
            self._change(self._random.randrange(_KEYS))
            if self._random.random() < 0.2:
                self._script.commit()
        return self._script.commit()

    def _change(self, id: int) -> None:
        if id not in self._there:
            self._script.insert(self._row(id))
            self._there.add(id)
            return
        kinds = ["delete", "update", "update", "move", "truncate"]
        kind = self._random.choices(kinds, [8, 10, 6, 8, 1])[0]
        if kind == "delete":
            self._script.delete({"id": id})
            self._there.discard(id)
        elif kind == "truncate":
            self._script.truncate()
            self._there.clear()
        else:
            self._update(id, move=kind == "move")

    def _update(self, id: int, *, move: bool) -> None:
        new = self._random.choice(sorted(set(range(_KEYS)) - self._there or {id})) if move else id
        names = [name for name in self._script.schema.names if name != "id"]
        unchanged = [name for name in names if self._random.random() < 0.25]
        row = {name: value for name, value in self._row(new).items() if name not in unchanged}
        self._script.update(row, unchanged=unchanged, old_key={"id": id} if new != id else None)
        self._there = (self._there - {id}) | {new}

    def _row(self, id: int) -> Row:
        amount = Decimal(self._random.randrange(-(10**11), 10**11)) / 100
        return {**row(id, self._random.choice(_NOTES), self._random.choice(_NOTES)), "amount": amount}
