"""Columns keep their identity through any history of a table, however far the catalog is ahead."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from etl_postgres_cdc.alignment import align
from etl_postgres_cdc.catalog import Attribute
from etl_postgres_cdc.changes import _renames
from etl_postgres_cdc.pgoutput import RelationColumn
from etl_postgres_cdc.position import Column

NAMES = "abcdefghijkl"


@frozen
class Moment:
    """A table after some statement: its attributes as pg_attribute has them."""

    attributes: tuple[Attribute, ...]

    def columns(self) -> tuple[Column, ...]:
        return tuple(Column(a.number, a.name, a.oid, a.typmod) for a in self.attributes if not a.dropped)

    def message(self) -> tuple[RelationColumn, ...]:
        return tuple(RelationColumn(False, c.name, c.oid, c.typmod) for c in self.columns())


def added(number: int, name: str, xid: int, oid: int = 23) -> Attribute:
    return Attribute(number, name, oid, -1, False, True, xid, None, False)


@st.composite
def histories(draw: st.DrawFn, reuse: bool) -> list[Moment]:
    """Draw a table's history, one statement per transaction; `reuse` allows names of dropped columns."""
    now = [added(1, "id", 100), added(2, "a", 100), added(3, "b", 100)]
    history = [Moment(tuple(now))]
    fresh = iter(f"n{number}" for number in range(100))
    for xid in range(101, 101 + draw(st.integers(1, 8))):
        live = [index for index, a in enumerate(now) if not a.dropped and a.number > 1]
        taken = {a.name for a in now if not a.dropped}
        name = draw(st.sampled_from([n for n in NAMES if n not in taken])) if reuse else next(fresh)
        action = draw(st.sampled_from(["add", "drop", "rename", "retype"] if live else ["add"]))
        if action == "add":
            now.append(added(len(now) + 1, name, xid))
        else:
            index = draw(st.sampled_from(live))
            gone = {
                "name": f"........pg.dropped.{index + 1}........",
                "oid": 0,
                "dropped": True,
                "published": False,
            }
            retyped = {"oid": now[index].oid + 1}
            changes: dict[str, Any] = {"drop": gone, "rename": {"name": name}, "retype": retyped}
            now[index] = evolve(now[index], xid=xid, **changes[action])
        history.append(Moment(tuple(now)))
    return history


@given(histories(reuse=True), st.data())
def test_with_a_catalog_of_the_time_it_is_exact(history: list[Moment], data: st.DataObject) -> None:
    then = data.draw(st.integers(0, len(history) - 1))
    before = data.draw(st.integers(0, then))
    moment = history[then]
    assert (
        align(history[before].columns(), moment.attributes, moment.message(), 100 + then) == moment.columns()
    )


@given(histories(reuse=False), st.data())
def test_with_a_catalog_ahead_nothing_is_left_out_or_invented(
    history: list[Moment], data: st.DataObject
) -> None:
    then = data.draw(st.integers(0, len(history) - 1))
    before, now = data.draw(st.integers(0, then)), data.draw(st.integers(then, len(history) - 1))
    moment = history[then]
    found = align(history[before].columns(), history[now].attributes, moment.message(), 100 + then)
    assert [(c.name, c.oid) for c in found] == [(c.name, c.oid) for c in moment.columns()]
    numbers = [c.number for c in found]
    assert numbers == sorted(set(numbers))


@given(histories(reuse=False), st.data())
def test_columns_that_are_still_there_are_recognised(history: list[Moment], data: st.DataObject) -> None:
    """Of one statement at a time, whatever comes later, the numbers are right."""
    then = data.draw(st.integers(1, len(history) - 1))
    now = data.draw(st.integers(then, len(history) - 1))
    moment, last = history[then], {a.number: a for a in history[now].attributes}
    found = align(history[then - 1].columns(), history[now].attributes, moment.message(), 100 + then)
    for column, true in zip(found, moment.columns(), strict=True):
        if last[true.number] == next(a for a in moment.attributes if a.number == true.number):
            assert column.number == true.number


def test_of_a_table_that_is_gone_names_tell() -> None:
    before = (Column(1, "id", 23, -1), Column(3, "b", 25, -1))
    message = (
        RelationColumn(True, "id", 23, -1),
        RelationColumn(False, "b", 25, -1),
        RelationColumn(False, "c", 25, -1),
    )
    assert [c.number for c in align(before, (), message, 5)] == [1, 3, 4]
    assert [c.number for c in align((), (), message, 5)] == [1, 2, 3]


def test_columns_that_are_not_published_are_passed_over() -> None:
    hidden = evolve(added(2, "secret", 5), published=False)
    message = (RelationColumn(True, "id", 23, -1), RelationColumn(False, "c", 23, -1))
    assert [c.number for c in align((), (added(1, "id", 5), hidden, added(3, "c", 5)), message, 9)] == [1, 3]


def test_transaction_ids_wrap_around() -> None:
    before = (Column(1, "id", 23, -1), Column(2, "x", 23, -1))
    gone = Attribute(2, "........", 0, -1, True, False, 0xFFFFFFF0, None, False)
    now = (added(1, "id", 3), gone, added(3, "x", 0xFFFFFFF1))
    message = (RelationColumn(True, "id", 23, -1), RelationColumn(False, "x", 23, -1))
    assert [c.number for c in align(before, now, message, 10)] == [1, 3], "dropped and added before"
    assert [c.number for c in align(before, now, message, 0xFFFFFF00)] == [1, 2], "dropped and added after"


@given(st.permutations(list("abcde")), st.integers(1, 5))
def test_renames_can_be_applied_in_their_order(names: list[str], count: int) -> None:
    wanted = dict(zip("abcde"[:count], names, strict=False))
    wanted = {old: new for old, new in wanted.items() if new in wanted or new not in "abcde"} | {
        old: f"new_{new}" for old, new in wanted.items() if new not in wanted
    }
    table = dict.fromkeys("abcde")
    values = {name: name for name in table}
    for rename in _renames({old: new for old, new in wanted.items() if old != new}):
        assert rename.new not in values, "a target was taken"
        values[rename.new] = values.pop(rename.old)
    assert {old: next(n for n, v in values.items() if v == old) for old in wanted} == wanted
