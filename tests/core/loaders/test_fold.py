"""Folding, against a model that applies changes one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.loaders.fold import fold
from etl_core.model import DELETED, OLD_KEY, OP, SEQ, UNCHANGED, pack_seq
from etl_core.schema import reserved_schema

KEY = ("tenant", "id")
DATA = ("a", "b", "c")
COLUMNS = pa.schema(
    [("tenant", pa.string()), ("id", pa.int64()), ("a", pa.int64()), ("b", pa.string()), ("c", pa.string())]
)
SCHEMA = pa.schema([*COLUMNS, *reserved_schema(COLUMNS, KEY)])

Key = tuple[str, int]
Row = dict[str, Any]
Base = dict[tuple[Any, ...], Row]


def seq_of(number: int) -> bytes:
    return pack_seq(1, 1, number)


def row(
    number: int,
    op: str,
    key: tuple[str, int],
    values: Row | None = None,
    old: tuple[str, int] | None = None,
    unchanged: Iterable[str] = (),
) -> Row:
    sent = {name: value for name, value in (values or {}).items() if name not in set(unchanged)}
    return {
        **dict.fromkeys(DATA),
        **sent,
        **dict(zip(KEY, key, strict=True)),
        OP: op,
        SEQ: seq_of(number),
        UNCHANGED: sorted(unchanged) or None,
        OLD_KEY: None if old is None else dict(zip(KEY, old, strict=True)),
    }


def table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def key_in(values: Row) -> tuple[Any, ...]:
    return tuple(values[name] for name in KEY)


def apply_set(base: Base, rows: Sequence[Row], soft: bool) -> Base:
    """Apply one write as the data model says: read all bases, remove them, put the rows."""
    keys = [key_in(r) for r in rows]
    assert len(set(keys)) == len(keys), "two rows of one key in a write"
    origins = [key_in(r[OLD_KEY]) if r[OLD_KEY] else key_in(r) for r in rows]
    bases = [base.get(origin) for origin in origins]
    kept = {key: r for key, r in base.items() if key not in {*keys, *origins}}
    for r, key, before in zip(rows, keys, bases, strict=True):
        if r[OP] != "d":
            assert not r[UNCHANGED] or before is not None, "a partial row without a base row"
            unsent = {name: before[name] for name in r[UNCHANGED] or ()} if before else {}
            kept[key] = {name: r[name] for name in DATA} | unsent | {DELETED: bool(soft and r[DELETED])}
        elif soft and before is not None:
            kept[key] = before | {DELETED: True}
    return kept


def apply_each(base: Base, rows: Sequence[Row], soft: bool) -> Base:
    for r in rows:
        base = apply_set(base, [r | {DELETED: r[OP] == "d"}], soft)
    return base


def apply_folded(base: Base, rows: Sequence[Row], cuts: Sequence[int], soft: bool, mark: bytes = b"") -> Base:
    edges = [0, *sorted({cut for cut in cuts if cut < len(rows)}), len(rows)]
    for start, end in pairwise(edges):
        if start == end:
            continue
        highest = b""
        for written in fold(table(rows[start:end]), KEY, soft=soft):
            folded = written.to_pylist()
            assert min(r[SEQ] for r in folded) > highest, "writes of a stream are in order"
            highest = max(r[SEQ] for r in folded)
            base = apply_set(base, [r for r in folded if r[SEQ] > mark], soft)
    return base


@frozen
class History:
    """What a source did: where it started, its changes, where it ended."""

    base: Base
    changes: list[Row]
    cuts: list[int]
    mark: int


def history_of(random: Random, soft: bool) -> History:
    keys = [("x", 1), ("x", 2), ("y", 1)]

    def values() -> Row:
        return {"a": random.randrange(99), "b": f"b{random.randrange(99)}", "c": f"c{random.randrange(99)}"}

    state = {key: values() for key in keys if random.random() < 0.7}
    base = {key: dict(v) | {DELETED: False} for key, v in state.items()}
    if soft:
        base |= {
            key: values() | {DELETED: True} for key in keys if key not in state and random.random() < 0.5
        }
    changes = [_change(random, number, keys, state, values) for number in range(1, random.randrange(2, 14))]
    cuts = random.choices(range(1, len(changes) + 1), k=random.randrange(4))
    return History(base, changes, cuts, random.randrange(len(changes) + 1))


def _change(
    random: Random, number: int, keys: Sequence[Key], state: dict[Key, Row], values: Callable[[], Row]
) -> Row:
    """Make the next change of a lawful source, and note it in `state`."""
    key = random.choice(keys)
    if key not in state:
        state[key] = values()
        return row(number, random.choice("ir"), key, state[key])
    if random.random() < 0.2:
        del state[key]
        return row(number, "d", key)
    free = [k for k in keys if k not in state]
    target = random.choice(free) if free and random.random() < 0.6 else key
    unchanged = random.sample(DATA, random.choice([0, 0, 1, 2]))
    before = state.pop(key)
    state[target] = values() | {name: before[name] for name in unchanged}
    old = key if target != key else random.choice([None, key])
    return row(number, "u", target, state[target], old, unchanged)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@settings(max_examples=150)
@given(random=st.randoms(use_true_random=True))
def test_folded_writes_do_what_single_changes_do(random: Random, soft: bool) -> None:
    history = history_of(random, soft)
    expected = apply_each(history.base, history.changes, soft)
    assert apply_folded(history.base, history.changes, history.cuts, soft) == expected


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@settings(max_examples=150)
@given(random=st.randoms(use_true_random=True))
def test_a_destination_that_skips_rows_below_its_mark_ends_with_the_same_rows(
    random: Random, soft: bool
) -> None:
    history = history_of(random, soft)
    applied = apply_each(history.base, history.changes[: history.mark], soft)
    replayed = apply_folded(applied, history.changes, history.cuts, soft, seq_of(history.mark))
    assert replayed == apply_each(history.base, history.changes, soft)


def writes(*rows: Row, soft: bool = False) -> list[list[Row]]:
    return [t.to_pylist() for t in fold(table(rows), KEY, soft=soft)]


X, Y, Z = ("x", 1), ("y", 2), ("z", 3)
FULL = {"a": 1, "b": "b", "c": "c"}


def test_a_chain_of_moves_lands_on_the_last_key_and_removes_the_others() -> None:
    [folded] = writes(row(1, "u", Y, FULL, X), row(2, "u", Z, FULL, Y))
    assert [(key_in(r), r[OP], r[OLD_KEY] and key_in(r[OLD_KEY])) for r in folded] == [
        (X, "d", None),
        (Z, "u", Y),
    ]


def test_a_swap_of_keys_is_one_write() -> None:
    swap = [row(1, "u", Z, FULL, X), row(2, "u", X, FULL, Y), row(3, "u", Y, FULL, Z)]
    base = {X: {**FULL, "a": 1, DELETED: False}, Y: {**FULL, "a": 2, DELETED: False}}
    [folded] = writes(*swap)
    assert set(apply_set(base, folded, soft=False)) == {X, Y}


def test_shifting_every_key_is_one_write_without_copies() -> None:
    shift = table([row(n, "u", ("x", 100 - n + 1), FULL, ("x", 100 - n)) for n in range(1, 50)])
    [folded] = fold(shift, KEY)
    assert folded.num_rows == 49


def test_an_unsent_value_comes_from_the_earlier_change_of_the_batch() -> None:
    [[folded]] = writes(row(1, "i", X, FULL), row(2, "u", X, {"a": 7}, unchanged=["b", "c"]))
    assert (folded["a"], folded["b"], folded["c"], folded[UNCHANGED]) == (7, "b", "c", None)
    assert folded[SEQ] == seq_of(2)


def test_a_value_nobody_sent_stays_marked() -> None:
    first = row(1, "u", X, {"a": 1, "c": "new"}, unchanged=["b"])
    [[folded]] = writes(first, row(2, "u", X, {"a": 2}, unchanged=["b", "c"]))
    assert (folded["b"], folded["c"], folded[UNCHANGED]) == (None, "new", ["b"])


def test_a_row_moved_without_all_its_values_and_changed_again_takes_a_second_write() -> None:
    moved = row(1, "u", Y, {"a": 1, "c": "c"}, X, ["b"])
    first, second = writes(moved, row(2, "u", Y, {"a": 2, "c": "c"}, unchanged=["b"]))
    assert [r[SEQ] for r in first + second] == [seq_of(1), seq_of(2)]


def test_insert_and_delete_of_one_batch_is_kept_as_deleted_when_deletes_are_soft() -> None:
    [[folded]] = writes(row(1, "i", X, FULL), row(2, "d", X), soft=True)
    assert (folded["b"], folded[OP], folded[DELETED], folded[SEQ]) == ("b", "i", True, seq_of(2))


def test_rows_without_repeated_keys_are_not_copied() -> None:
    rows = table([row(1, "i", X, FULL), row(2, "d", Y), row(3, "u", Z, FULL, unchanged=["b"])])
    [folded] = fold(rows, KEY)
    assert folded is rows


def test_the_last_row_of_a_key_wins_across_chunks() -> None:
    chunks = [table([row(n, "i", X, {**FULL, "a": n}), row(n + 1, "i", Y, FULL)]) for n in (1, 3)]
    [folded] = fold(pa.concat_tables(chunks), KEY)
    assert [(key_in(r), r["a"]) for r in folded.to_pylist()] == [(X, 3), (Y, 1)]


def test_deletes_of_the_last_row_win_without_looking_at_values() -> None:
    [folded] = writes(row(1, "i", X, FULL), row(2, "i", Y, FULL), row(3, "d", X))
    assert [(key_in(r), r[OP]) for r in folded] == [(Y, "i"), (X, "d")]


def test_changes_that_contradict_each_other_are_left_to_the_destination() -> None:
    """A source that repeats itself may send what has no base row any more: it gets a write of its own."""
    gone = writes(row(1, "u", Y, FULL, X), row(2, "u", X, {"a": 1}, unchanged=["b"]))
    deleted = writes(row(1, "d", X), row(2, "u", X, {"a": 1}, unchanged=["b"]))
    twice = writes(row(1, "u", Y, FULL, X), row(2, "u", Z, FULL, X))
    assert [len(found) for found in (gone, deleted, twice)] == [2, 2, 2]
    [replaced] = writes(row(1, "u", Y, FULL, X), row(2, "u", Y, FULL, Z))
    assert [(key_in(r), r[OP]) for r in replaced] == [(X, "d"), (Y, "u")]
    [again] = writes(row(1, "u", Y, FULL, X), row(2, "d", X))
    assert [key_in(r) for r in again] == [Y]


def test_rows_without_their_key_are_not_taken_for_one_row() -> None:
    lacking = [row(n, "i", ("x", None), FULL) for n in (1, 2)]  # type: ignore[arg-type]
    [folded] = writes(*lacking, row(3, "i", Y, FULL), row(4, "i", Y, FULL))
    assert [r["id"] for r in folded] == [None, None, 2]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([b"0" * 16, b"1" * 16, b"0" * 16], pa.binary(16)).cast(pa.binary(16)),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, b"1" * 16, b"0" * 16], pa.binary(16))),
        pa.array(["p", "q", "p"]).dictionary_encode(),
        pa.array([[1, 2], [3], [1, 2]]),
        pa.array([{"n": 1}, {"n": 2}, {"n": 1}]),
        pa.array([float("nan"), 1.0, float("nan")]),
    ],
    ids=["binary", "uuid", "dictionary", "list", "struct", "nan"],
)
def test_keys_of_any_type_are_told_apart(values: pa.Array) -> None:
    columns = pa.schema([("id", values.type), ("a", pa.int64())])
    reserved = reserved_schema(columns, ["id"])
    filled = [pa.array(["i"] * 3), *(pa.nulls(3, field.type) for field in list(reserved)[1:])]
    rows = pa.Table.from_arrays(
        [values, pa.array([1, 2, 3]), *filled], schema=pa.schema([*columns, *reserved])
    )
    [folded] = fold(rows, ["id"])
    assert folded.column("a").to_pylist() == [2, 3]
