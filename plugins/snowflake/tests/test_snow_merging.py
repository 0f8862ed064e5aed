from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa
import pytest
from attrs import define, evolve, field, frozen

from etl_core import DELETED, Rejected, StateError, Stream, TableSchema, pack_seq, reserved_schema
from etl_snowflake import control, merging, snapshots
from etl_snowflake.client import Session
from etl_snowflake.control import Kept, Window
from etl_snowflake.names import Names, literal
from etl_snowflake.tables import Tables

Row = dict[str, Any]
Key = tuple[int, str]
State = dict[Key, Row]
Cut = Callable[..., AbstractContextManager[list[str]]]

#: A key of two columns, one of which needs its quotes and its own conversion from JSON.
_COLUMNS = pa.schema(
    [
        pa.field("id", pa.int64()),
        ('a "b', pa.string()),
        ("name", pa.string()),
        ("n", pa.decimal128(12, 2)),
        ("tags", pa.list_(pa.int8())),
    ]
)
_KEY = ("id", 'a "b')
_DATA = ("name", "n", "tags")


def _seq(number: int, ordinal: int = 0) -> str:
    return pack_seq(1, number, ordinal).hex()


@frozen
class Change:
    """A row of a Write, as it lands."""

    op: str
    key: Key
    values: Row = field(factory=dict)
    unchanged: tuple[str, ...] = ()
    old_key: Key | None = None

    @property
    def partial(self) -> bool:
        return bool(self.unchanged) or self.old_key is not None


def applied(state: State, changes: Sequence[Change], *, soft: bool) -> tuple[State, list[Change]]:
    """Apply a Write as a set: read the base rows, remove what is at keys and old keys, put the rows."""
    base = {each: state.get(each.old_key or each.key) for each in map(_Same, changes)}
    lacking = [each for each in changes if each.op != "d" and each.unchanged and base[_Same(each)] is None]
    changes = [each for each in changes if each not in lacking]
    after = dict(state)
    for each in changes:
        after.pop(each.key, None)
        after.pop(each.old_key or each.key, None)
    for each in changes:
        found = base[_Same(each)]
        if each.op != "d":
            kept = {name: found[name] for name in each.unchanged} if found else {}
            after[each.key] = {**each.values, **kept, **({DELETED: False} if soft else {})}
        elif soft and found is not None:
            after[each.key] = {**found, DELETED: True}
    return after, lacking


class _Same:
    """A change as itself, to look it up by."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._change, name)

    def __hash__(self) -> int:
        return id(self._change)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._change is self._change


@define
class Mirror:
    """A mirror in the account, and what lands for it."""

    session: Session
    names: Names
    kept: Kept
    soft: bool
    fence: str = "fence"

    def land(self, number: int, changes: Sequence[Change]) -> None:
        """Land a Write with its mark and its window, in one transaction, as a bulk load does."""
        windows = merging.extend(
            self.kept.windows, _seq(number, len(changes)), any(c.partial for c in changes)
        )
        mark = windows[-1].upto
        with self.session.transaction():
            control.require(self.session, self.names, "p", self.fence)
            self.insert(number, changes)
            control.advance(self.session, self.names, "p", self.kept.stream, mark, windows)
        self.kept = evolve(self.kept, mark=mark, windows=windows)

    def insert(self, number: int, changes: Sequence[Change]) -> None:
        columns = [*_COLUMNS.names, "_etl_op", "_etl_seq", "_etl_commit_ts", "_etl_unchanged", "_etl_old_key"]
        columns += [DELETED] if self.soft else []
        rows = ", ".join(_sql_row(number, n, each, soft=self.soft) for n, each in enumerate(changes, 1))
        read = [f"column{n}" for n in range(1, len(columns) + 1)]
        for place, kind in ((5, "ARRAY"), (9, "ARRAY"), (10, "OBJECT")):
            read[place - 1] = f"PARSE_JSON(column{place})::{kind}"
        self.session.execute(
            f"INSERT INTO {self.names.ours(self.kept.landing)} ({self.names.columns(columns)})"
            f" SELECT {', '.join(read)} FROM VALUES {rows}"
        )

    def merge(self, number: int, changes: int = 0) -> list[Rejected]:
        """Merge up to a Write's end."""
        self.kept, rejected = merging.merge(
            self.session, self.names, "p", self.fence, self.kept, _seq(number, changes or 99)
        )
        return rejected

    def reopen(self) -> None:
        """Begin again with what is in the account."""
        self.session.close()
        kept = control.find(self.session, self.names, "p", self.kept.stream)
        assert kept is not None
        self.kept = evolve(kept, windows=merging.clip(kept.windows, kept.mark))

    def rows(self) -> State:
        columns = [*_COLUMNS.names, *([DELETED] if self.soft else [])]
        found = self.session.execute(
            f"SELECT {self.names.columns(columns)} FROM {self.kept.target(self.names)}"
        )
        state = {}
        for row in found:
            told = dict(zip(columns, row, strict=True))
            told["tags"] = json.loads(told["tags"]) if told["tags"] else None
            told["n"] = None if told["n"] is None else float(told["n"])
            state[told.pop("id"), told.pop(_KEY[1])] = told
        assert len(state) == len(found), "a key is there twice"
        return state

    def landed(self) -> int:
        return int(self.session.execute(f"SELECT COUNT(*) FROM {self.names.ours(self.kept.landing)}")[0][0])


def _sql_row(number: int, ordinal: int, change: Change, *, soft: bool) -> str:
    old = change.old_key and json.dumps(dict(zip(_KEY, change.old_key, strict=True)))
    values = [*change.key, *(change.values.get(name) for name in _DATA)]
    values[4] = None if values[4] is None else json.dumps(values[4])
    values += [change.op, _seq(number, ordinal), "2026-01-02 03:04:05+00:00"]
    values += [json.dumps(change.unchanged) if change.unchanged else None, old]
    values += [change.op == "d"] if soft else []
    return f"({', '.join(map(_literal, values))})"


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int | float) else literal(value)


@pytest.fixture
def mirrors(session: Session, names: Names, schema: str) -> Iterator[Callable[..., Mirror]]:
    """Make mirrors in the test's schema."""
    control.install(session, names)
    control.claim(session, names, "p", "fence")
    tables = Tables(session, names, "p", "fence")

    def make(*, soft: bool = False, metadata: bool = False) -> Mirror:
        reserved = reserved_schema(_COLUMNS, _KEY)
        extra = [pa.field(DELETED, pa.bool_())] if soft else []
        extra += [reserved.field("_etl_seq"), reserved.field("_etl_commit_ts")] if metadata else []
        wanted = TableSchema(Stream(f"{schema}_TO", f"t{soft}{metadata}"), _COLUMNS, _KEY, pa.schema(extra))
        session.execute(f"DROP SCHEMA IF EXISTS {names.schema(wanted.stream.namespace)}")
        return Mirror(session, names, tables.ensure(wanted, (), None), soft)

    return make  # type: ignore[return-value]


def _put(id: int, name: str = "x", **more: Any) -> Change:
    return Change("u", (id, "k"), {"name": name, "n": None, "tags": None, **more})


def _values(mirror: Mirror) -> dict[int, str]:
    return {key[0]: row["name"] for key, row in mirror.rows().items()}


def test_windows_gather_whole_writes() -> None:
    windows: tuple[Window, ...] = ()
    for upto, partial in (("1", False), ("2", False), ("3", True), ("4", True), ("5", False), ("6", False)):
        windows = merging.extend(windows, upto, partial)
    assert windows == (Window("2", False), Window("3", True), Window("4", True), Window("6", False))
    assert merging.clip(windows, None) == ()
    assert merging.clip(windows, "3") == windows[:2]
    assert merging.clip(windows, "5") == (*windows[:3], Window("5", False))
    assert merging.clip(windows, "9") == windows
    kept = Kept(Stream("s", "t"), "S", "T", "L", windows=windows, merged="1")
    assert merging.due(kept, "9") == windows
    assert merging.due(kept, "1") == ()
    assert merging.due(evolve(kept, merged=None), "1") == (Window("1", False),)
    assert merging.due(kept, "35") == windows[:2]
    assert merging.due(kept, "5") == (*windows[:3], Window("5", False))
    assert merging.due(evolve(kept, merged="4"), "6") == windows[3:]


def test_the_last_row_of_each_key_is_merged(mirrors: Callable[..., Mirror]) -> None:
    mirror = mirrors(metadata=True)
    mirror.land(1, [_put(1, "one", n=1.5, tags=[1, 2]), _put(2, "two"), _put(3, "three")])
    mirror.land(2, [_put(1, "uno"), Change("d", (2, "k")), Change("d", (9, "k"))])
    mirror.land(3, [_put(2, "too late")])
    mirror.merge(2)
    assert _values(mirror) == {1: "uno", 3: "three"}
    assert mirror.landed() == 1, "rows that are not merged are gone, or others are left"
    found = mirror.session.execute(
        f'SELECT "_ETL_SEQ", "_ETL_COMMIT_TS"::VARCHAR FROM {mirror.kept.target(mirror.names)} WHERE ID = 1'
    )
    assert bytes(found[0][0]).hex() == _seq(2, 1)
    assert found[0][1].startswith("2026-01-02 03:04:05")
    mirror.merge(3)
    assert _values(mirror) == {1: "uno", 2: "too late", 3: "three"}
    assert mirror.landed() == 0


def test_columns_that_were_not_sent_stay(mirrors: Callable[..., Mirror]) -> None:
    mirror = mirrors()
    mirror.land(1, [_put(1, "one", n=1.5, tags=[1, 2]), _put(2, "two", n=2)])
    mirror.land(2, [Change("u", (1, "k"), {"name": "uno"}, ("n", "tags"))])
    mirror.land(
        3, [Change("u", (1, "k"), {"n": 7}, ("name", "tags")), Change("u", (5, "k"), {"n": 7}, ("name",))]
    )
    rejected = mirror.merge(3)
    assert mirror.rows()[1, "k"] == {"name": "uno", "n": 7, "tags": [1, 2]}
    assert [(each.code, each.rows.num_rows) for each in rejected] == [("no_base_row", 1)]
    row = rejected[0].rows.to_pylist()[0]
    assert (row["id"], row[_KEY[1]], row["name"], row["_etl_op"]) == (5, "k", None, "u")
    assert row["_etl_seq"].hex() == _seq(3, 2)
    assert row["_etl_unchanged"] == ["name"]
    assert set(mirror.rows()) == {(1, "k"), (2, "k")}, "a row was made up"
    assert mirror.landed() == 0


@pytest.mark.parametrize("soft", [False, True])
def test_keys_that_change_swap_and_chain(mirrors: Callable[..., Mirror], *, soft: bool) -> None:
    mirror = mirrors(soft=soft)

    def moved(id: int, old: int, name: str = "") -> Change:
        if name:
            return Change("u", (id, "k"), {"name": name, "n": None, "tags": None}, (), (old, "k"))
        return Change("u", (id, "k"), {}, _DATA, (old, "k"))

    mirror.land(1, [_put(n, f"r{n}") for n in range(1, 6)])
    mirror.land(2, [moved(2, 1), moved(1, 2)])  # a swap
    mirror.land(3, [moved(30, 3)])
    mirror.land(4, [moved(31, 30), moved(40, 4, "four")])  # a chain over two windows
    mirror.land(5, [moved(5, 40), Change("d", (31, "k"))])  # onto a row that is there
    mirror.merge(5)
    expected = {1: "r2", 2: "r1", 5: "four", **({31: "r3"} if soft else {})}
    assert _values(mirror) == expected
    if soft:
        assert mirror.rows()[31, "k"][DELETED]
    mirror.land(6, [Change("d", (7, "k"), {}, (), (5, "k"))])
    mirror.merge(6)
    assert _values(mirror) == {1: "r2", 2: "r1", **({31: "r3", 7: "four"} if soft else {})}


def test_soft_deletes_mark_the_row_and_are_undone(mirrors: Callable[..., Mirror]) -> None:
    mirror = mirrors(soft=True, metadata=True)
    mirror.land(1, [_put(1, "one", n=1), _put(2, "two")])
    mirror.merge(1)
    mirror.land(2, [Change("d", (1, "k")), Change("d", (9, "k"))])
    mirror.merge(2)
    assert mirror.rows()[1, "k"] == {"name": "one", "n": 1, "tags": None, DELETED: True}
    assert (9, "k") not in mirror.rows()
    seqs = mirror.session.execute(f'SELECT "_ETL_SEQ" FROM {mirror.kept.target(mirror.names)} WHERE ID = 1')
    assert bytes(seqs[0][0]).hex() == _seq(2, 1), "the delete's own sequence is not on the row"
    mirror.land(3, [_put(1, "again")])
    mirror.merge(3)
    assert mirror.rows()[1, "k"][DELETED] is False


def test_a_late_replay_does_not_bring_a_deleted_row_back(mirrors: Callable[..., Mirror]) -> None:
    mirror = mirrors()
    mirror.land(1, [_put(1, "one")])
    mirror.land(2, [Change("d", (1, "k"))])
    mirror.merge(2)
    mirror.insert(1, [_put(1, "one")])  # as from a copy that a channel commits late
    mirror.reopen()
    mirror.merge(2)
    mirror.land(3, [_put(3, "three")])
    mirror.merge(3)
    assert _values(mirror) == {3: "three"}
    assert mirror.landed() == 0


def test_a_truncate_takes_what_is_landed_too(mirrors: Callable[..., Mirror]) -> None:
    mirror = mirrors()
    mirror.land(1, [_put(1)])
    mirror.merge(1)
    mirror.land(2, [_put(2)])
    mirror.kept = snapshots.truncate(
        mirror.session, mirror.names, "p", "fence", mirror.kept, bytes.fromhex(_seq(3))
    )
    assert (mirror.rows(), mirror.landed(), mirror.kept.mark) == ({}, 0, _seq(3))
    mirror.reopen()
    mirror.land(4, [_put(4, "four")])
    mirror.merge(4)
    assert _values(mirror) == {4: "four"}


def test_a_displaced_copy_merges_nothing(mirrors: Callable[..., Mirror]) -> None:
    mirror = mirrors()
    mirror.land(1, [_put(1)])
    control.claim(mirror.session, mirror.names, "p", "later")
    with pytest.raises(StateError):
        mirror.merge(1)
    assert (mirror.rows(), mirror.landed()) == ({}, 1)


def test_a_key_is_all_there_is(mirrors: Callable[..., Mirror], names: Names, session: Session) -> None:
    mirror = mirrors()
    columns = pa.schema([_COLUMNS.field("id")])
    wanted = TableSchema(Stream(mirror.kept.schema, "bare"), columns, ("id",), pa.schema([]))
    kept = Tables(session, names, "p", "fence").ensure(wanted, (), None)
    kept = evolve(kept, windows=[Window(_seq(2), partial=False)])
    landing = names.ours(kept.landing)
    session.execute(
        f'INSERT INTO {landing} (ID, "_ETL_OP", "_ETL_SEQ") VALUES (1, ?, ?), (1, ?, ?), (2, ?, ?)',
        ["i", _seq(1), "u", _seq(2), "i", _seq(2)],
    )
    for _ in range(2):
        merging.merge(session, names, "p", "fence", kept, _seq(2))
    assert session.execute(f"SELECT ID FROM {kept.target(names)} ORDER BY ID") == [(1,), (2,)]


_CUTS = (
    ("^UPDATE .*ETL_PIPELINES", False),
    ("^UPDATE .*ETL_STREAMS", True),
    ("^MERGE", False),
    ("^MERGE", True),
    ("^DELETE", True),
    ("^COMMIT", False),
    ("^COMMIT", True),
)
_TELLING = {("^MERGE", True), ("^COMMIT", False), ("^COMMIT", True)}


@pytest.mark.parametrize(
    ("match", "done"),
    [each if each in _TELLING else pytest.param(*each, marks=pytest.mark.slow) for each in _CUTS],
)
def test_a_merge_that_broke_off_is_done_once(
    mirrors: Callable[..., Mirror], cut: Cut, match: str, *, done: bool
) -> None:
    mirror = mirrors()
    mirror.land(1, [_put(1, "one"), _put(2, "two")])
    mirror.land(2, [Change("u", (2, "k"), {}, _DATA, (1, "k")), Change("u", (1, "k"), {}, _DATA, (2, "k"))])
    with cut(match, done=done) as fired:
        mirror.merge(2)
    assert fired
    mirror.reopen()
    mirror.merge(2)
    assert _values(mirror) == {1: "two", 2: "one"}
    assert mirror.landed() == 0


def _whole_write(rng: random.Random, keys: Sequence[Key]) -> list[Change]:
    chosen = rng.sample(keys, rng.randint(1, 4))
    return [
        Change("d", key) if rng.random() < 0.3 else Change(rng.choice("iu"), key, _random(rng))
        for key in chosen
    ]


def _random(rng: random.Random) -> Row:
    tags = rng.choice([None, [], [1, 2], [3, None]])
    return {
        "name": rng.choice([None, "it's", "ü", "x" * rng.randint(0, 9)]),
        "n": rng.choice([None, 0.25, 7.5]),
        "tags": tags,
    }


def _partial_write(rng: random.Random, keys: Sequence[Key]) -> list[Change]:
    """Make rows of which each key and each old key is about one at most; swaps and chains come up."""
    chosen = rng.sample(keys, rng.randint(1, 4))
    olds = rng.sample(keys, len(chosen)) if rng.random() < 0.7 else [None] * len(chosen)
    if rng.random() < 0.3:
        olds = [*chosen[1:], chosen[0]]
    changes = []
    for key, old in zip(chosen, olds, strict=True):
        old_key = old if old != key and rng.random() < 0.8 else None
        sent = _random(rng)
        gone = tuple(name for name in _DATA if rng.random() < 0.4)
        if rng.random() < 0.15:
            changes.append(Change("d", key, {}, (), old_key))
            continue
        values = {name: None if name in gone else value for name, value in sent.items()}
        changes.append(Change("u", key, values, gone, old_key))
    return changes


@pytest.mark.parametrize("seed", range(2))  # one with each way to delete
def test_random_changes(mirrors: Callable[..., Mirror], cut: Cut, seed: int) -> None:
    _story(mirrors, cut, seed, 16)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_random_changes(mirrors: Callable[..., Mirror], cut: Cut, seed: int) -> None:
    _story(mirrors, cut, seed, 80)


def _story(mirrors: Callable[..., Mirror], cut: Cut, seed: int, length: int) -> None:
    """Land Writes, merge up to any of them, break off anywhere: the table is what plain Python says."""
    rng = random.Random(seed)
    mirror = mirrors(soft=bool(seed % 2))
    keys: list[Key] = [(n, rng.choice(["k", "it's", "ü"])) for n in range(7)]
    states: list[State] = [{}]
    lacking: list[int] = [0]
    merged = told = 0
    for number in range(1, length + 1):
        if rng.random() < 0.05:
            mirror.kept = snapshots.truncate(
                mirror.session, mirror.names, "p", "fence", mirror.kept, bytes.fromhex(_seq(number))
            )
            states.append({})
            lacking.append(0)
            merged = number
            continue
        write = _partial_write(rng, keys) if rng.random() < 0.6 else _whole_write(rng, keys)
        mirror.land(number, write)
        state, refused = applied(states[-1], write, soft=mirror.soft)
        states.append(state)
        lacking.append(len(refused))
        if merged > 1 and rng.random() < 0.2:  # a replay that comes late
            mirror.insert(rng.randint(1, merged - 1), [Change("u", rng.choice(keys), _random(rng))])
        if rng.random() < 0.5 or number == length:
            upto = number if number == length else rng.randint(merged, number)
            before = merged
            if rng.random() < 0.4 and upto > merged:
                match, done = rng.choice(_CUTS)
                with cut(match, rng.randint(0, 2), done=done):
                    mirror.merge(upto)
                mirror.reopen()
                mirror.merge(upto)
            else:
                rejected = mirror.merge(upto)
                told = sum(each.rows.num_rows for each in rejected)
                assert told == sum(lacking[before + 1 : upto + 1]), f"rows refused: seed {seed}, write {upto}"
            merged = max(merged, upto)
            assert mirror.rows() == states[merged], f"seed {seed}, write {merged}"
        if rng.random() < 0.2:
            mirror.reopen()
    assert mirror.landed() == 0
