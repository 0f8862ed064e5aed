"""What happens to a stream: seeded wanderings and single cases, as scripts."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
from attrs import define, field

from etl_core.model import AddColumn, RenameColumn, Stream, WidenColumn
from etl_core.testing.script import COLUMNS, Row, Script

__all__ = ["COMPOSITE", "altered", "many", "moved", "snapshot_of", "truncated", "wandering"]

#: Columns for a key of two, which are in another order than in the key.
COMPOSITE = pa.schema([pa.field("region", pa.string(), nullable=False), *COLUMNS])
COMPOSITE_KEY = ("id", "region")

_NOTED = ("name", "amount", "note")


def snapshot_of(stream: Stream, seed: int, count: int = 30) -> Script:
    """A snapshot in three transactions, ids ascending."""
    random = Random(seed)  # noqa: S311 - no secret: a story to be told again
    rows = [{"id": number, **_values(random)} for number in range(1, count + 1)]
    return Script(stream).snapshot(rows, parts=3)


def wandering(stream: Stream, seed: int, *, steps: int = 60, composite: bool = False) -> Script:
    """A snapshot, then changes of every kind in transactions of any size; lawful, few keys, often moved."""
    random = Random(seed)  # noqa: S311 - no secret: a story to be told again
    keys: list[Row] = [{"id": number} for number in range(1, 9)]
    script = Script(stream)
    if composite:
        keys = [{"id": number, "region": region} for region in "xy" for number in range(1, 5)]
        script = Script(stream, COMPOSITE, COMPOSITE_KEY)
    walk = _Walk(random, script, keys)
    walk.begin()
    for _ in range(steps):
        walk.step()
    script.commit()
    return script


def moved(stream: Stream) -> Script:
    """Values not sent, and keys that change: in chains, in a circle, onto a key just deleted, and back."""
    script = Script(stream).snapshot([_full(number) for number in range(1, 7)])
    script.update(_full(11, without="note"), unchanged=["note"], old_key={"id": 1})
    script.update(_full(12, without="note"), unchanged=["note"], old_key={"id": 11})
    script.update(_full(12, without="name"), unchanged=["name"])
    script.update(_full(90), old_key={"id": 2})
    script.update(_full(2), old_key={"id": 3}).update(_full(3), old_key={"id": 90})
    script.delete({"id": 4}).update(_full(4), old_key={"id": 5}).insert(_full(5))
    script.update(_full(61), old_key={"id": 6}).update(_full(6), old_key={"id": 61}).commit()
    return (
        script.insert(_full(7))
        .delete({"id": 7})
        .insert(_full(7))
        .update(_full(7, without="note"), unchanged=["note"])
        .commit()
    )


def truncated(stream: Stream) -> Script:
    """Rows, a truncate, and rows of the same keys."""
    script = Script(stream).snapshot([_full(number) for number in range(1, 6)])
    script.insert(_full(6)).truncate().insert(_full(2), _full(3)).commit()
    return script.update(_full(2)).commit()


def altered(stream: Stream) -> Script:
    """Columns that are added, renamed and widened between changes of the same rows."""
    script = Script(stream).snapshot([_full(number) for number in range(1, 6)])
    script.update(_full(1))
    wider = pa.decimal128(18, 2)
    fields = [pa.field("amount", wider) if one.name == "amount" else one for one in COLUMNS]
    fields = [pa.field("remark", pa.string()) if one.name == "note" else one for one in fields]
    later = pa.schema([*fields, pa.field("points", pa.int64())])
    changes = (
        RenameColumn("note", "remark"),
        WidenColumn("amount", wider),
        AddColumn("points", pa.int64(), 7),
    )
    script.alter(later, *changes)
    script.update({"id": 2, "name": "b", "amount": None, "points": 3}, unchanged=["remark"])
    script.insert({"id": 9, "name": None, "amount": Decimal("1.00"), "remark": "r", "points": None})
    return script.delete({"id": 3}).commit()


def many(stream: Stream, count: int) -> Script:
    """A transaction of `count` inserts, each third row updated and each seventh deleted."""
    script = Script(stream).insert(*(_full(number) for number in range(1, count + 1)))
    for number in range(3, count + 1, 3):
        script.update(_full(number, without="note"), unchanged=["note"])
    return script.delete(*({"id": number} for number in range(7, count + 1, 7))).commit()


def _full(number: int, without: str = "") -> Row:
    row: Row = {
        "id": number,
        "name": f"name {number % 5}",
        "amount": Decimal(number),
        "note": f"note {number}",
    }
    row.pop(without, None)
    return row


def _values(random: Random) -> Row:
    return {
        "name": random.choice([None, "a", "b", f"name {random.randrange(99)}"]),
        "amount": random.choice([None, Decimal(random.randrange(9999)) / 100]),
        "note": f"note {random.randrange(999)}",
    }


@define
class _Walk:
    """A lawful source: inserts what is not there, changes and deletes what is."""

    random: Random
    script: Script
    keys: list[Row]
    there: list[Row] = field(factory=list)

    def begin(self) -> None:
        self.there = [key for key in self.keys if self.random.random() < 0.6]
        self.script.snapshot([{**key, **_values(self.random)} for key in self.there], parts=2)

    def step(self) -> None:
        key = self.random.choice(self.keys)
        if key not in self.there:
            self.script.insert({**key, **_values(self.random)})
            self.there.append(key)
        elif self.random.random() < 0.2:
            self.script.delete(key)
            self.there.remove(key)
        else:
            self._update(key)
        if self.random.random() < 0.2:
            self.script.commit()

    def _update(self, key: Row) -> None:
        free = [one for one in self.keys if one not in self.there]
        target = self.random.choice(free) if free and self.random.random() < 0.4 else key
        unsent = self.random.sample(_NOTED, self.random.choice([0, 0, 1, 2]))
        sent: dict[str, Any] = {k: v for k, v in _values(self.random).items() if k not in unsent}
        self.there[self.there.index(key)] = target
        old = key if target is not key else None
        self.script.update({**target, **sent}, unchanged=unsent, old_key=old)
