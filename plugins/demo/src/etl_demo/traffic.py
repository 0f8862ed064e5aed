"""What happens in the shop while its pipeline runs: a writer that does everything a mirror must survive."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from etl_core import Secret
from etl_pglib.client import Connection, connect

__all__ = ["ACTIONS", "Traffic", "add_column"]

#: One transaction: its kind, and what it does; returns how many row changes it committed.
Action = Callable[[Connection, random.Random], int]


def place_order(db: Connection, chance: random.Random) -> int:
    """An order with its items, in one transaction over two tables."""
    ((customer, order),) = db.execute("SELECT max(customer_id), max(id) + 1 FROM orders").fetchall()
    lines = chance.randint(1, 4)
    with db.transaction():
        db.execute("INSERT INTO orders (id, customer_id, total) VALUES (%s, %s, 1.5)", [order, customer])
        db.execute(
            "INSERT INTO order_items SELECT %s, line, 'SKU-1', 2, 0.75 FROM generate_series(1, %s::int) line",
            [order, lines],
        )
    return 1 + lines


def change_price(db: Connection, chance: random.Random) -> int:
    """An update that leaves the large description alone: PostgreSQL does not send that value."""
    return _changed(
        db,
        "UPDATE products SET price = price + 0.01, details = NULL "
        "WHERE sku = (SELECT sku FROM products ORDER BY md5(sku || %s) LIMIT 1)",
        str(chance.random()),
    )


def rename_product(db: Connection, chance: random.Random) -> int:
    """A key that changes while the large description stays unsent."""
    return _changed(
        db,
        "UPDATE products SET sku = sku || '.' "
        "WHERE sku = (SELECT sku FROM products ORDER BY md5(sku || %s) LIMIT 1)",
        str(chance.random()),
    )


def rewrite_description(db: Connection, chance: random.Random) -> int:
    """A new large value."""
    return _changed(
        db,
        "UPDATE products SET description = repeat(md5(%s), 400) WHERE sku = (SELECT min(sku) FROM products)",
        str(chance.random()),
    )


def move_items(db: Connection, chance: random.Random) -> int:
    """Keys that follow each other, line 2 to 3 to 4: a chain of key changes in one transaction."""
    order = _some(db, chance, "orders")
    with db.transaction():
        return sum(
            _changed(
                db, "UPDATE order_items SET line = %s WHERE order_id = %s AND line = %s", new, order, old
            )
            for old, new in ((4, 40), (3, 30), (2, 20), (20, 21))
        )


def promote(db: Connection, chance: random.Random) -> int:
    """An update of every kind of column."""
    return _changed(
        db,
        "UPDATE customers SET tier = 'gold', score = score * 1.1, address = address || '{\"vip\": true}', "
        "tags = tags || 'vip'::text, active = NOT active, email = NULL WHERE id = %s",
        _some(db, chance, "customers"),
    )


def cancel_order(db: Connection, chance: random.Random) -> int:
    """A delete over two tables."""
    order = _some(db, chance, "orders")
    with db.transaction():
        items = _changed(db, "DELETE FROM order_items WHERE order_id = %s", order)
        return items + _changed(db, "DELETE FROM orders WHERE id = %s", order)


def delete_and_return(db: Connection, chance: random.Random) -> int:
    """A row that goes and comes back in one transaction."""
    with db.transaction():
        gone = _changed(db, 'DELETE FROM "Odd ""Names""" WHERE "Key Part" = 7')
        return gone + _changed(
            db, "INSERT INTO \"Odd \"\"Names\"\"\" VALUES (7, 'k', %s, NULL, 'empty', '')", chance.random()
        )


def give_up(db: Connection, chance: random.Random) -> int:
    """A rollback: nothing of it may arrive."""
    with db.transaction(force_rollback=True):
        db.execute("UPDATE customers SET name = 'never seen' WHERE id = %s", [chance.randint(1, 50)])
        db.execute("DELETE FROM orders WHERE id < 100")
    return 0


def half_give_up(db: Connection, chance: random.Random) -> int:
    """A savepoint rolled back inside a transaction that commits."""
    with db.transaction():
        kept = _changed(db, "UPDATE orders SET note = 'kept' WHERE id = %s", _some(db, chance, "orders"))
        with db.transaction(force_rollback=True):
            db.execute("UPDATE orders SET note = 'never seen', total = -1 WHERE id < 50")
    return kept


ACTIONS: dict[str, Action] = {
    "inserts": place_order,
    "updates": change_price,
    "key changes": rename_product,
    "large values": rewrite_description,
    "key chains": move_items,
    "more updates": promote,
    "deletes": cancel_order,
    "re-inserts": delete_and_return,
    "rollbacks": give_up,
    "savepoints": half_give_up,
}


def add_column(db: Connection) -> None:
    """The schema change: a column with a default, which stored rows have at once."""
    db.execute("ALTER TABLE orders ADD COLUMN channel text NOT NULL DEFAULT 'web'")


class Traffic:
    """Runs the actions in turn on a thread of its own, until `stop`.

    `pause` seconds lie between transactions. An error ends it and is raised by `stop`.
    """

    def __init__(self, dsn: str, *, seed: int = 1, pause: float = 0.002) -> None:
        self.transactions = 0
        #: Committed row changes.
        self.changes = 0
        self.kinds: Counter[str] = Counter()
        self._dsn = dsn
        self._chance = random.Random(seed)  # noqa: S311 -- repeatable, not secret
        self._pause = pause
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="traffic")

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin; the thread is joined by `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the transaction under way; raises what the writer failed with."""
        self._stopping.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with connect(Secret(self._dsn), application_name="etl-demo-writer", session={}) as db:
                while not self._stopping.wait(self._pause):
                    self.step(db)
        except BaseException as error:  # noqa: BLE001 -- carried over to the thread that calls `stop`
            self._error = error

    def step(self, db: Connection) -> None:
        """Run the next transaction."""
        kind = list(ACTIONS)[self.transactions % len(ACTIONS)]
        self.changes += ACTIONS[kind](db, self._chance)
        self.transactions += 1
        self.kinds[kind] += 1


def _changed(db: Connection, statement: str, *parameters: Any) -> int:
    return db.execute(statement.encode(), parameters).rowcount


def _some(db: Connection, chance: random.Random, table: str) -> int:
    """Return some id of a table."""
    statement = f"SELECT id FROM {table} WHERE id >= (SELECT max(id) * %s FROM {table}) ORDER BY id LIMIT 1"
    return int(db.execute(statement.encode(), [chance.random()]).fetchall()[0][0])
