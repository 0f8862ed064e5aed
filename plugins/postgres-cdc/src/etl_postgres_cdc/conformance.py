"""This source under the conformance kit, on a private PostgreSQL: `etl-core certify postgres-cdc`."""

from __future__ import annotations

import atexit
import secrets
from collections.abc import Mapping
from functools import cache
from typing import Any

from attrs import frozen

from etl_core import ConfigError
from etl_core.testing import SourceConformance
from etl_core.testing.verdicts import not_reached
from etl_pglib.databases import Database, Servers
from etl_pglib.names import quote_ident, quote_literal
from etl_postgres_cdc.plugin import etl_register_extract

__all__ = ["PostgresCdcSource"]

_VERSION = 16
_TABLES = """
CREATE SCHEMA {schema} AUTHORIZATION {user};
SET ROLE {user};
CREATE TABLE {schema}.orders (
  id integer PRIMARY KEY, name text, amount numeric(12, 2), at timestamptz, tags text[], paper text
);
ALTER TABLE {schema}.orders ALTER paper SET STORAGE EXTERNAL;
CREATE TABLE {schema}.lines ("order" integer, line integer, "What" text, PRIMARY KEY ("order", line));
INSERT INTO {schema}.orders
  SELECT n, 'name ' || n, n / 4.0, '2024-02-29 12:00+02', ARRAY['a', NULL, n::text], repeat(n::text, 3000)
  FROM generate_series(1, 20) n;
INSERT INTO {schema}.lines SELECT n, l, 'line' FROM generate_series(1, 5) n, generate_series(1, 3) l;
"""
#: One transaction of everything: rows added, a large value left alone, a key changed, a row removed.
_CHANGE = """
INSERT INTO {schema}.orders SELECT n, 'new', 1, now() FROM generate_series({first}, {first} + 2) n;
UPDATE {schema}.orders SET name = 'changed {first}' WHERE id <= 3;
UPDATE {schema}.lines SET "order" = "order" + {first} WHERE line = 1 AND "order" = 1;
DELETE FROM {schema}.lines WHERE line = 2
  AND "order" = (SELECT min("order") FROM {schema}.lines WHERE line = 2);
INSERT INTO {schema}.lines VALUES ({first}, 7, NULL)
"""


@frozen
class _Home:
    """The database of this process, and who may use it as a pipeline should."""

    database: Database
    user: str
    password: str

    @property
    def dsn(self) -> str:
        where = self.database.dsn.partition("@")[2]
        return f"postgresql://{self.user}:{self.password}@{where}"


class PostgresCdcSource(SourceConformance):
    """A schema of two tables for each clause, read by a user who is no superuser."""

    registration = etl_register_extract()[0]

    def prepare(self) -> None:
        self.changes = 0
        if self.given is None:
            self.execute(_TABLES)

    def config(self) -> Mapping[str, Any]:
        return {"dsn": _home().dsn, "tables": [f"{self.namespace}.*"]}

    def change(self) -> None:
        self.changes += 1
        self.execute(_CHANGE)

    def clean(self) -> None:
        if self.given is None:
            self.execute("DROP SCHEMA IF EXISTS {schema} CASCADE")

    def execute(self, sql: str) -> None:
        """Run statements as superuser, with the clause's own names in place of {schema} and {user}."""
        home = _home()
        values = {"schema": self.namespace, "user": quote_ident(home.user), "first": 1_000 * self.changes}
        home.database.execute(sql.format(**values))


@cache
def _home() -> _Home:
    """Return the database, on a server that ends with this process or the last that shares it."""
    servers = Servers()
    try:
        server = servers.get(_VERSION)
    except ConfigError as missing:
        not_reached(
            "there is no PostgreSQL to try it on: install one with it, or name a database with --config",
            install="pip install 'etl-pglib[embedded]'",
            found=missing.message,
        )
    atexit.register(servers.release)
    name = f"conformance_{secrets.token_hex(4)}"
    database = Database(name, server.create_database(name), server)
    home = _Home(database, f"scram_{name}", secrets.token_hex(12))
    database.execute(
        f"CREATE ROLE {quote_ident(home.user)} LOGIN REPLICATION PASSWORD {quote_literal(home.password)}",
        f"GRANT CREATE ON DATABASE {quote_ident(name)} TO {quote_ident(home.user)}",
    )
    return home
