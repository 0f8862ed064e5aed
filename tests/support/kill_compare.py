"""What a destination has, against the account that the source kept of itself (see kill_source)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
from attrs import frozen
from support.kill_source import KEYS

__all__ = ["Change", "check_history", "check_mirror"]

Row = Mapping[str, str | None]


@frozen
class Change:
    """A committed change: as the ledger has it, or as a history has it. Values are text, long ones hashes."""

    op: str
    key: tuple[str, ...]
    old_key: tuple[str, ...] | None
    row: Row | None
    unchanged: frozenset[str] = frozenset()


def check_mirror(database: Any, path: Path) -> int:
    """Assert that the mirror has exactly the source's rows; return how many."""
    total = 0
    for table in KEYS:
        rows = database.query(f"select audit.texts(to_jsonb(t)) from {table} t")
        source = {_key(table, row): row for (row,) in rows}
        copied = list(_select(path, table))
        mirror = {_key(table, row): {name: row[name] for name in _columns(row)} for row in copied}
        assert len(mirror) == len(copied), f"{table}: a key twice"
        assert mirror.keys() == source.keys(), (table, mirror.keys() ^ source.keys())
        wrong = [(key, source[key], mirror[key]) for key in source if source[key] != mirror[key]]
        assert not wrong, (table, len(wrong), wrong[:2])
        total += len(mirror)
    return total


def check_history(database: Any, path: Path) -> int:
    """Assert that the history has every change exactly once, in order; return how many changes it has.

    Of each writer's rows the history's changes must be the last ones of the ledger, one by one, and its
    snapshot must be what the ledger's changes before those add up to.
    """
    total = 0
    for table in list(KEYS):
        rows = sorted(_select(path, table), key=lambda row: row["_etl_seq"])
        assert len({row["_etl_seq"] for row in rows}) == len(rows), f"{table}: a sequence twice"
        snapshot = [row for row in rows if row["_etl_op"] == "r"]
        changes = [_change(table, row) for row in rows if row["_etl_op"] != "r"]
        assert all(
            a["_etl_seq"] < b["_etl_seq"] for a, b in zip(snapshot, rows[len(snapshot) :], strict=False)
        )
        ledger = _ledger(database, table)
        by_writer = defaultdict(list)
        for change in changes:
            by_writer[_writer(table, change.key)].append(change)
        for writer, expected in ledger.items():
            seen = by_writer.pop(writer, [])
            before = expected[: len(expected) - len(seen)]
            state = _fold(before)
            read = {_key(table, row): row for row in snapshot if _writer(table, _key(table, row)) == writer}
            assert read.keys() == state.keys(), (table, writer, read.keys() ^ state.keys())
            assert all(_holds(read[key], state[key]) for key in state), (table, writer)
            _check_changes(table, state, expected[len(before) :], seen)
        assert not by_writer, (table, "changes nobody made")
        total += len(changes)
    return total


def _check_changes(
    table: str, state: dict[tuple[str, ...], Row], expected: Sequence[Change], seen: Sequence[Change]
) -> None:
    """Assert that the changes are the same; what was not sent must not have changed."""
    for number, (want, got) in enumerate(zip(expected, seen, strict=True)):
        at = (table, number, want, got)
        assert (want.op, want.key, want.old_key) == (got.op, got.key, got.old_key), at
        if want.row is not None and got.row is not None:
            sent = {name: value for name, value in want.row.items() if name not in got.unchanged}
            assert _holds(got.row, sent), at
            before = state[want.old_key or want.key] if got.unchanged else {}
            assert all(before[name] == want.row[name] and got.row[name] is None for name in got.unchanged), at
        _apply(state, want)


def _holds(row: Row, expected: Row) -> bool:
    """Say whether a row has these values; columns that came later are of no matter."""
    return all(row[name] == value for name, value in expected.items())


def _fold(changes: Sequence[Change]) -> dict[tuple[str, ...], Row]:
    state: dict[tuple[str, ...], Row] = {}
    for change in changes:
        _apply(state, change)
    return state


def _apply(state: dict[tuple[str, ...], Row], change: Change) -> None:
    if change.old_key or change.op == "d":
        del state[change.old_key or change.key]
    if change.row is not None:
        state[change.key] = change.row


def _ledger(database: Any, table: str) -> dict[int, list[Change]]:
    result: dict[int, list[Change]] = defaultdict(list)
    statement = (
        f"select writer, op::text, key, old_key, row from audit.ledger where tab = '{table}' order by n"
    )
    for writer, op, key, old_key, row in database.query(statement):
        result[writer].append(Change(op, tuple(key), tuple(old_key) if old_key else None, row))
    return result


def _select(path: Path, table: str) -> Iterator[dict[str, Any]]:
    """Read a table: its values as text, long ones as hashes, and ours as they are."""
    with duckdb.connect(path, read_only=True) as connection:
        described = connection.execute(f"describe public.{table}").fetchall()
        names = [row[0] for row in described if row[0] != "_etl_commit_ts"]
        columns = ", ".join(name if name.startswith("_etl") else _text(name) for name in names)
        rows = connection.execute(f"select {columns} from public.{table}").fetchall()
    for row in rows:
        yield dict(zip(names, row, strict=True))


def _text(name: str) -> str:
    value = f"cast({name} as varchar)"
    return f"case when length({value}) > 500 then md5({value}) else {value} end"


def _change(table: str, row: Mapping[str, Any]) -> Change:
    old = row["_etl_old_key"]
    return Change(
        row["_etl_op"],
        _key(table, row),
        tuple(str(old[name]) for name in KEYS[table]) if old else None,
        None if row["_etl_op"] == "d" else {name: row[name] for name in _columns(row)},
        frozenset(row["_etl_unchanged"] or ()),
    )


def _columns(row: Mapping[str, Any]) -> list[str]:
    return [name for name in row if not name.startswith("_etl")]


def _key(table: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in KEYS[table])


def _writer(table: str, key: tuple[str, ...]) -> int:
    """Return whose row it is; every key says so."""
    if table == "documents":
        return int(key[0][1:].split("-")[0])
    return int(key[0]) // 1_000_000_000 if table == "accounts" else int(key[0])
