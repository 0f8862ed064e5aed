"""What is to be moved: backlogs of changes behind a slot, and tables to copy, with what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from attrs import frozen
from benchmarks.speed.contents import COLUMNS, Column, Contents, in_postgres
from benchmarks.speed.server import Database

__all__ = ["PUBLICATION", "SLOT", "Copy", "Stream", "copied", "huge", "insert", "streamed"]

PUBLICATION = "bench"
SLOT = "base"


@frozen
class Copy:
    """Tables to copy, and what they hold."""

    database: Database
    table: Sequence[Column]
    tables: tuple[str, ...]
    mirror: Contents


@frozen
class Stream(Copy):
    """A backlog of changes: from the slot `SLOT` to the LSN `end`; `history` is what it holds."""

    history: Contents
    end: str
    changes: int


def copied(database: Database, rows: int, table: Sequence[Column] = COLUMNS, tables: int = 1) -> Copy:
    """Fill tables with so many rows together; vacuumed, so that the first reader does not pay for it."""
    names = _create(database, table, tables)
    for number, name in enumerate(names):
        filled = insert(name, table, 1, rows, _nth(number, tables))
        database.execute(filled, f"VACUUM (FREEZE, ANALYZE) {name}")
    return Copy(database, table, names, _mirror(database, table, names))


def streamed(
    database: Database, changes: int, size: int, table: Sequence[Column] = COLUMNS, tables: int = 1
) -> Stream:
    """Insert (80 % of the changes), update (16 %), delete (4 %), in transactions of `size` rows each."""
    names = _create(database, table, tables)
    _publish(database, names)
    inserts, updates, deletes = changes * 80 // 100, changes * 16 // 100, changes * 4 // 100
    numbered = [(name, _nth(number, tables)) for number, name in enumerate(names)]
    kept = inserts - deletes
    span = ("k", "least(k + size - 1, last)")
    _in_transactions(database, inserts, size, [insert(n, table, *span, where) for n, where in numbered])
    _in_transactions(database, updates, size, [_update(n, table, where) for n, where in numbered])
    _in_transactions(database, deletes, size, [_delete(n, where, kept) for n, where in numbered])
    made = partial(_made, table)
    parts = [
        ("i", made(1, inserts, 0)),
        ("u", made(1, updates, 1)),
        ("d", _keys(table, kept + 1, inserts)),
    ]
    return _finished(database, table, names, parts)


def huge(database: Database, rows: int, table: Sequence[Column] = COLUMNS) -> Stream:
    """Insert so many rows in one transaction, with a rolled-back savepoint of a tenth as many between."""
    (name,) = _create(database, table, 1)
    _publish(database, [name])
    half, aside = rows // 2, max(1, rows // 10)
    statements = [
        insert(name, table, 1, half),
        "SAVEPOINT aside",
        insert(name, table, rows + 1, rows + aside),
        "ROLLBACK TO SAVEPOINT aside",
        insert(name, table, half + 1, rows),
    ]
    with database.connect() as connection, connection.transaction():
        for statement in statements:
            connection.execute(statement.encode())
    return _finished(database, table, [name], [("i", _made(table, 1, rows, 0))])


def _create(database: Database, table: Sequence[Column], count: int) -> tuple[str, ...]:
    names = tuple(f"public.t{number}" for number in range(count))
    definition = ", ".join(column.definition for column in table)
    database.execute(*(f"CREATE TABLE {name} ({definition})" for name in names))
    return names


def _publish(database: Database, names: Sequence[str]) -> None:
    database.execute(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE {', '.join(names)}")
    database.query(f"SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')")


def _finished(
    database: Database, table: Sequence[Column], names: Sequence[str], parts: Sequence[tuple[str, str]]
) -> Stream:
    ((end,),) = database.query("SELECT pg_current_wal_insert_lsn()::text")
    database.execute("CHECKPOINT")
    found = [row for op, part in parts for row in database.query(in_postgres(table, part, f"'{op}'"))]
    history = Contents.of(found)
    mirror = _mirror(database, table, names)
    return Stream(database, table, tuple(names), mirror, history, end, history.rows)


def _mirror(database: Database, table: Sequence[Column], names: Sequence[str]) -> Contents:
    return Contents.of(row for name in names for row in database.query(in_postgres(table, name)))


def _nth(number: int, tables: int) -> str:
    """Return the condition that an id belongs to this table."""
    return "true" if tables == 1 else f"i % {tables} = {number}"


def _values(table: Sequence[Column], version: int) -> str:
    return ", ".join(f"{column.value(version)} AS {column.name}" for column in table)


def _series(first: object, last: object) -> str:
    return f"generate_series({first}::bigint, {last}::bigint) AS s(i)"


def _made(table: Sequence[Column], first: object, last: object, version: int, where: str = "true") -> str:
    return f"(SELECT {_values(table, version)} FROM {_series(first, last)} WHERE {where}) made"


def _keys(table: Sequence[Column], first: int, last: int) -> str:
    """Return deleted rows: keys, and null in all other columns."""
    key, *others = table
    nulls = "".join(f", CAST(NULL AS {other.type}) AS {other.name}" for other in others)
    return f"(SELECT i AS {key.name}{nulls} FROM {_series(first, last)}) made"


def insert(name: str, table: Sequence[Column], first: object, last: object, where: str = "true") -> str:
    """Return the statement that inserts the rows of these ids, as they are before any update."""
    return f"INSERT INTO {name} SELECT * FROM {_made(table, first, last, 0, where)}"


def _update(name: str, table: Sequence[Column], where: str) -> str:
    values = ", ".join(f"{column.name} = {column.value(1)}" for column in table[1:])
    source = _series("k", "least(k + size - 1, last)")
    return f"UPDATE {name} SET {values} FROM {source} WHERE id = i AND {where}"


def _delete(name: str, where: str, kept: int) -> str:
    series = _series(f"k + {kept}", f"least(k + size - 1, last) + {kept}")
    return f"DELETE FROM {name} USING {series} WHERE id = i AND {where}"


def _in_transactions(database: Database, rows: int, size: int, statements: Sequence[str]) -> None:
    """Run statements over `k`, the first of `size` numbers, up to `last`, and commit each time."""
    body = "; ".join(statements)
    database.execute(
        f"""DO $$ DECLARE k bigint; size bigint := {size}; last bigint := {rows};
        BEGIN FOR k IN 1..last BY size LOOP {body}; COMMIT; END LOOP; END $$"""
    )
