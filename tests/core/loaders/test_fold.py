"""Folding, against a model that applies changes one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
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

Key = tuple[Any, ...]
Row = dict[str, Any]
Base = dict[Key, Row]


def seq_of(number: int) -> bytes:
    return pack_seq(1, 1, number)


def row(
    number: int,
    op: str,
    key: Key,
    values: Row | None = None,
    old: Key | None = None,
    unchanged: Iterable[str] = (),
    names: Sequence[str] = KEY,
) -> Row:
    sent = {name: value for name, value in (values or {}).items() if name not in set(unchanged)}
    return {
        **dict.fromkeys(COLUMNS.names),
        **sent,
        **dict(zip(names, key, strict=True)),
        OP: op,
        SEQ: seq_of(number),
        UNCHANGED: sorted(unchanged) or None,
        OLD_KEY: None if old is None else dict(zip(names, old, strict=True)),
    }


def table(rows: Sequence[Row], names: Sequence[str] = KEY) -> pa.Table:
    schema = pa.schema([*COLUMNS, *reserved_schema(COLUMNS, names)])
    return pa.Table.from_pylist(list(rows), schema=schema)


def key_in(values: Row, names: Sequence[str] = KEY) -> Key:
    return tuple(values[name] for name in names)


@frozen
class Mirror:
    """A table under the rules of the data model."""

    names: Sequence[str] = KEY
    soft: bool = False

    def apply(self, base: Base, rows: Sequence[Row]) -> Base:
        """Apply one write: read all bases, remove them, put the rows. Rows without a key are refused."""
        rows = [r for r in rows if None not in self._key(r)]
        keys = [self._key(r) for r in rows]
        assert len(set(keys)) == len(keys), "two rows of one key in a write"
        origins = [self._key(r[OLD_KEY]) if r[OLD_KEY] else self._key(r) for r in rows]
        bases = [base.get(origin) for origin in origins]
        kept = {key: r for key, r in base.items() if key not in {*keys, *origins}}
        for r, key, before in zip(rows, keys, bases, strict=True):
            if r[OP] != "d":
                assert not r[UNCHANGED] or before is not None, "a partial row without a base row"
                unsent = {name: before[name] for name in r[UNCHANGED] or ()} if before else {}
                deleted = bool(self.soft and r[DELETED])
                kept[key] = {name: r[name] for name in DATA} | unsent | {DELETED: deleted}
            elif self.soft and before is not None:
                kept[key] = before | {DELETED: True}
        return kept

    def apply_each(self, base: Base, rows: Sequence[Row]) -> Base:
        for r in rows:
            base = self.apply(base, [r | {DELETED: r[OP] == "d"}])
        return base

    def apply_folded(self, base: Base, batches: Sequence[pa.Table], mark: bytes = b"") -> Base:
        for batch in batches:
            highest = b""
            for written in fold(batch, self.names, soft=self.soft):
                seqs = written.column(SEQ).to_pylist()
                assert seqs == sorted(set(seqs)), "rows are in the order of their last changes"
                assert seqs[0] > highest, "writes of a stream are in order"
                highest = seqs[-1]
                base = self.apply(base, [r for r in written.to_pylist() if r[SEQ] > mark])
        return base

    def _key(self, values: Row) -> Key:
        return key_in(values, self.names)


@frozen
class History:
    """What a source did: where it started, its changes, where a batch ends, and where a chunk does."""

    mirror: Mirror
    base: Base
    changes: list[Row]
    cuts: list[int]
    chunks: list[int]
    mark: int

    def batches(self) -> list[pa.Table]:
        edges = [0, *sorted(set(self.cuts)), len(self.changes)]
        return [self._table(start, end) for start, end in pairwise(edges) if start < end]

    def _table(self, start: int, end: int) -> pa.Table:
        edges = [start, *sorted(chunk for chunk in set(self.chunks) if start < chunk < end), end]
        return pa.concat_tables(
            table(self.changes[first:last], self.mirror.names) for first, last in pairwise(edges)
        )


KEYS: dict[tuple[str, ...], Sequence[Key]] = {
    KEY: [(tenant, number) for tenant in "xy" for number in (1, 2, 3)],
    ("id",): [(1,), (2,), (-3,), (10**15,), (2**63 - 1,), (-(2**63),)],
    ("tenant",): [("",), ("a",), ("A",), ("b",), ("\u00e9",), ("longer than most",)],
}


def history_of(random: Random, soft: bool) -> History:
    names = random.choice(list(KEYS))
    keys = KEYS[names][: random.randrange(2, 7)]
    state = {key: _values(random) for key in keys if random.random() < 0.7}
    base = {key: dict(values) | {DELETED: False} for key, values in state.items()}
    if soft:
        gone = [key for key in keys if key not in state and random.random() < 0.5]
        base |= {key: _values(random) | {DELETED: True} for key in gone}
    moving, unsent = random.choice([0, 0.1, 0.6]), random.choice([0, 0.5])
    writer = _Writer(random, names, keys, state, moving, unsent)
    changes = [writer.change(number) for number in range(1, random.randrange(2, 40))]
    cuts, chunks = (random.choices(range(1, len(changes) + 1), k=random.randrange(4)) for _ in "ab")
    return History(Mirror(names, soft), base, changes, cuts, chunks, random.randrange(len(changes) + 1))


def _values(random: Random) -> Row:
    return {"a": random.randrange(99), "b": f"b{random.randrange(99)}", "c": f"c{random.randrange(99)}"}


@frozen
class _Writer:
    """A lawful source, but for rows without a key."""

    random: Random
    names: Sequence[str]
    keys: Sequence[Key]
    state: dict[Key, Row]
    moving: float
    unsent: float

    def change(self, number: int) -> Row:
        """Make the next change, and note it in `state`."""
        key = self.random.choice(self.keys)
        if self.random.random() < 0.05:
            return row(number, "i", (None, *key[1:]), _values(self.random), names=self.names)
        if key not in self.state:
            self.state[key] = _values(self.random)
            return row(number, self.random.choice("ir"), key, self.state[key], names=self.names)
        if self.random.random() < 0.2:
            del self.state[key]
            return row(number, "d", key, names=self.names)
        return self._update(number, key)

    def _update(self, number: int, key: Key) -> Row:
        free = [k for k in self.keys if k not in self.state]
        target = self.random.choice(free) if free and self.random.random() < self.moving else key
        count = self.random.choice([1, 2]) if self.random.random() < self.unsent else 0
        unchanged = self.random.sample(DATA, count)
        before = self.state.pop(key)
        self.state[target] = _values(self.random) | {name: before[name] for name in unchanged}
        old = key if target != key else self.random.choice([None, key])
        return row(number, "u", target, self.state[target], old, unchanged, self.names)


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@settings(max_examples=200)
@given(random=st.randoms(use_true_random=True))
def test_folded_writes_do_what_single_changes_do(random: Random, soft: bool) -> None:
    history = history_of(random, soft)
    expected = history.mirror.apply_each(history.base, history.changes)
    assert history.mirror.apply_folded(history.base, history.batches()) == expected


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@settings(max_examples=200)
@given(random=st.randoms(use_true_random=True))
def test_a_destination_that_skips_rows_below_its_mark_ends_with_the_same_rows(
    random: Random, soft: bool
) -> None:
    history = history_of(random, soft)
    mirror = history.mirror
    applied = mirror.apply_each(history.base, history.changes[: history.mark])
    replayed = mirror.apply_folded(applied, history.batches(), seq_of(history.mark))
    assert replayed == mirror.apply_each(history.base, history.changes)


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
    assert set(Mirror().apply(base, folded)) == {X, Y}


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


def test_a_delete_leaves_nothing_unsent() -> None:
    """What a delete did not send is not a mark, whatever the source says."""
    [[folded]] = writes(row(1, "i", X, FULL), row(2, "d", X, unchanged=["b"]))
    assert (folded[OP], folded["a"], folded[UNCHANGED]) == ("d", None, None)
    [[folded]] = writes(row(1, "i", X, FULL), row(2, "d", X, unchanged=["b"]), soft=True)
    assert (folded["b"], folded[UNCHANGED], folded[DELETED]) == ("b", None, True)


def test_old_keys_that_are_the_key_are_taken_out_without_copying_the_rest() -> None:
    rows = table([row(1, "u", X, FULL, X), row(2, "u", Z, FULL, Y), row(3, "d", ("d", 4), old=("e", 5))])
    [folded] = fold(rows, KEY)
    assert folded.column(OLD_KEY).to_pylist() == [None, dict(zip(KEY, Y, strict=True)), None]
    before, after = (t.column("a").chunk(0).buffers()[1].address for t in (rows, folded))
    assert before == after


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
    lacking = [row(n, "i", ("x", None), FULL) for n in (1, 2)]
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
        pa.array([float("nan"), 1.0, -float("nan")]),
        pa.array([0.0, 1.0, -0.0], pa.float32()),
        pa.array([Decimal("1.0"), Decimal("1.1"), Decimal("1.00")], pa.decimal128(38, 2)),
        pa.array([True, False, True]),
        pa.array(["p", "q", "p"], pa.large_string()),
    ],
    ids=["binary", "uuid", "dictionary", "list", "struct", "nan", "zero", "numeric", "bool", "large"],
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
