"""A database that keeps its own account of every committed change, and a writer that never stops.

Triggers write each change into `audit.ledger`, in the transaction that makes it: what is rolled back leaves
nothing there. The writers' keys are disjoint, so that of each writer's rows the ledger has the commit order.
Run as a script, this is the writer: it goes on until its stdin closes, then prints what it did.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import psycopg

__all__ = ["COLUMNS_LIMIT", "KEYS", "SCHEMA", "WRITERS"]

#: The tables and their keys.
KEYS: Mapping[str, tuple[str, ...]] = {
    "accounts": ("id",),
    "events": ("writer", "id"),
    "documents": ("code",),
}
WRITERS = 2
#: Columns are added until a table has this many more.
COLUMNS_LIMIT = 90

SCHEMA = """
create table accounts (
    id bigint primary key, writer int not null, rev bigint not null, name text, amount numeric(12,2),
    flags jsonb, big text
);
alter table accounts alter big set storage external;
create table events (
    writer int, id bigint, rev bigint not null, tag text, big text, primary key (writer, id)
);
alter table events replica identity full;
create table documents (
    code text not null, writer int not null, rev bigint not null, body text
);
create unique index documents_code on documents (code);
alter table documents replica identity using index documents_code;
alter table documents alter body set storage external;

create schema audit;
create sequence audit.rev;
create table audit.ledger (
    n bigserial primary key, tab text, writer int, op "char", key text[], old_key text[], row jsonb
);
create function audit.key_of(tab text, r jsonb) returns text[] immutable strict language sql as $$
    select case tab when 'accounts' then array[r->>'id'] when 'events' then array[r->>'writer', r->>'id']
                    else array[r->>'code'] end
$$;
create function audit.texts(r jsonb) returns jsonb immutable strict language sql as $$
    select jsonb_object_agg(key, case when length(value) > 500 then md5(value) else value end)
    from jsonb_each_text(r)
$$;
create function audit.log() returns trigger language plpgsql as $$
declare
    old_row jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
    new_row jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
    old_key text[] := audit.key_of(tg_table_name, old_row);
    new_key text[] := audit.key_of(tg_table_name, new_row);
begin
    insert into audit.ledger (tab, writer, op, key, old_key, row) values (
        tg_table_name, (coalesce(new_row, old_row)->>'writer')::int,
        case tg_op when 'INSERT' then 'i' when 'UPDATE' then 'u' else 'd' end,
        coalesce(new_key, old_key), case when tg_op = 'UPDATE' and old_key <> new_key then old_key end,
        audit.texts(new_row));
    return null;
end $$;
create trigger log after insert or update or delete on accounts for each row execute function audit.log();
create trigger log after insert or update or delete on events for each row execute function audit.log();
create trigger log after insert or update or delete on documents for each row execute function audit.log();
"""

Connection = psycopg.Connection[tuple[Any, ...]]


class Writer:
    """One connection's share of the traffic; all its keys carry its number."""

    def __init__(self, dsn: str, number: int, seed: int) -> None:
        self.number = number
        self.done: Counter[str] = Counter()
        self._dsn = dsn
        self._chance = random.Random(seed * 100 + number)
        self._next = 0
        self._columns = 0

    def run(self, stopping: threading.Event, pause: float) -> None:
        actions: list[Callable[[Connection], None]] = [
            self.insert, self.update, self.leave_large, self.change_large, self.insert, self.change_key,
            self.chain_keys, self.delete, self.delete_and_return, self.several_tables, self.roll_back,
            self.savepoint, self.many_rows,
        ]  # fmt: skip
        with psycopg.connect(self._dsn, autocommit=True, prepare_threshold=None) as db:
            while not stopping.wait(pause):
                action = self._chance.choice(actions)
                with db.transaction():
                    action(db)
                self.done[action.__name__] += 1
                if self.number == 0 and sum(self.done.values()) % 150 == 0 and self._columns < COLUMNS_LIMIT:
                    self.add_column(db)
            with db.transaction():  # a schema change is only sent with the table's next row
                self.several_tables(db)

    def insert(self, db: Connection) -> None:
        self._next += 1
        large = self._text(random.Random(self._next).choice([10, 6000]))
        db.execute(
            "insert into accounts (id, writer, rev, name, amount, flags, big) "
            "values (%s, %s, nextval('audit.rev'), %s, %s, %s, %s)",
            [
                self._id(),
                self.number,
                "name",
                self._next * 0.25,
                json.dumps({"n": [self._next, None]}),
                large,
            ],
        )

    def update(self, db: Connection) -> None:
        self._change(db, "accounts", "id", "amount = amount + 1, flags = null")

    def leave_large(self, db: Connection) -> None:
        self._change(db, "accounts", "id", "name = name || 'x'")
        self._change(db, "documents", "code", "rev = nextval('audit.rev')")

    def change_large(self, db: Connection) -> None:
        self._change(db, "accounts", "id", "big = %s", self._text(7000))
        self._change(db, "documents", "code", "body = %s", self._text(5000))

    def change_key(self, db: Connection) -> None:
        """A key change that leaves the large value unsent."""
        self._next += 1
        self._change(db, "accounts", "id", "id = %s", self._id())
        self._change(db, "documents", "code", "code = code || '+'")

    def chain_keys(self, db: Connection) -> None:
        """Rows move along keys that others have just left."""
        found = db.execute("select id from accounts where writer = %s order by id limit 2", [self.number])
        ids = [row[0] for row in found.fetchall()]
        self._next += 1
        for old, new in zip([*reversed(ids)], [self._id(), *reversed(ids)], strict=False):
            db.execute("update accounts set id = %s, rev = nextval('audit.rev') where id = %s", [new, old])

    def delete(self, db: Connection) -> None:
        for table, key in (("accounts", "id"), ("documents", "code")):
            self._one(db, f"delete from {table}", table, key)
        # Many rows in one statement; the table stays small enough to be copied again and again.
        db.execute("delete from events where writer = %s and id < %s", [self.number, self._next - 500])

    def delete_and_return(self, db: Connection) -> None:
        for table, key in (("accounts", "id"), ("documents", "code")):
            row = self._one(db, f"delete from {table}", table, key, returning="returning *")
            if row:
                values = ", ".join(["%s"] * len(row))
                db.execute(
                    f"insert into {table} values ({values})".encode(), [_plain(value) for value in row]
                )

    def several_tables(self, db: Connection) -> None:
        self.insert(db)
        self._next += 1
        key = f"w{self.number}-{self._next}"
        db.execute(
            "insert into documents (code, writer, rev, body) values (%s, %s, nextval('audit.rev'), %s)",
            [key, self.number, self._text(4000)],
        )
        db.execute(
            "insert into events (writer, id, rev, tag, big) values (%s, %s, nextval('audit.rev'), 't', %s)",
            [self.number, self._next, self._text(self._chance.choice([5, 3000]))],
        )
        self._change(db, "events", "id", "tag = tag || '.'")

    def roll_back(self, db: Connection) -> None:
        with db.transaction(force_rollback=True):
            self.several_tables(db)
            self.delete(db)

    def savepoint(self, db: Connection) -> None:
        self.update(db)
        with db.transaction(force_rollback=True):
            self.many_rows(db)
            self.delete(db)
        self.insert(db)

    def many_rows(self, db: Connection) -> None:
        """A larger transaction over one table."""
        first, self._next = self._next + 1, self._next + 20
        db.execute(
            "insert into events (writer, id, rev, tag, big) select %s::int, n, nextval('audit.rev'), 'many', "
            "repeat('m', 20) from generate_series(%s::int, %s::int) n",
            [self.number, first, self._next],
        )

    def add_column(self, db: Connection) -> None:
        """A schema change, with a default that stored rows have at once."""
        self._columns += 1
        table = list(KEYS)[self._columns % len(KEYS)]
        db.execute(
            f"alter table {table} add column extra{self._columns} text default 'd{self._columns}'".encode()
        )
        self.done["add_column"] += 1

    def _change(self, db: Connection, table: str, key: str, what: str, *values: Any) -> None:
        what = what if "rev =" in what else f"{what}, rev = nextval('audit.rev')"
        self._one(db, f"update {table} set {what}", table, key, *values)

    def _one(
        self, db: Connection, verb: str, table: str, key: str, *values: Any, returning: str = ""
    ) -> tuple[Any, ...] | None:
        """Do something to one of this writer's rows, if there is one."""
        some = f"select {key} from {table} where writer = %s order by md5({key}::text || %s) limit 1"
        where = f"where writer = %s and {key} = ({some})"
        parameters = [*values, self.number, self.number, str(self._chance.random())]
        done = db.execute(f"{verb} {where} {returning}".encode(), parameters)
        return done.fetchone() if returning else None

    def _id(self) -> int:
        return self.number * 1_000_000_000 + self._next

    def _text(self, length: int) -> str:
        return "".join(self._chance.choices("abcdefghijklmnopqrstuvwxyz", k=20)) * (length // 20 + 1)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def main(dsn: str, seed: int, pause: float) -> None:
    stopping = threading.Event()
    writers = [Writer(dsn, number, seed) for number in range(WRITERS)]
    failures: list[BaseException] = []

    def run(writer: Writer) -> None:
        try:
            writer.run(stopping, pause)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=run, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopping.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(sum((writer.done for writer in writers), Counter())))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
