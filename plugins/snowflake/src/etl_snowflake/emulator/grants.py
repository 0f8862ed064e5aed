"""Roles and privileges: everything is granted until it is revoked.

A revoked privilege names a kind of object and a pattern for its dotted name, so that `check` of a destination
can be shown any hole; GRANT closes it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from etl_snowflake.emulator.catalog import Catalog
from etl_snowflake.emulator.errors import forbidden, missing

ADMIN = "ACCOUNTADMIN"
OF_TABLE = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "OWNERSHIP")
OF_SCHEMA = ("USAGE", "CREATE TABLE", "CREATE STAGE", "CREATE TASK", "CREATE VIEW", "CREATE PIPE")
OF_DATABASE = ("USAGE", "CREATE SCHEMA")
OF_WAREHOUSE = ("USAGE", "OPERATE")
OF_STAGE = ("READ", "WRITE")
OF_TASK = ("OPERATE", "MONITOR", "OWNERSHIP")
OF_ACCOUNT = ("EXECUTE TASK", "CREATE DATABASE")


@dataclass(frozen=True)
class Hole:
    """A privilege that a role has not."""

    privilege: str
    kind: str
    name: str
    role: str


class Grants:
    """What the roles may not do."""

    def __init__(self) -> None:
        self.holes: set[Hole] = set()

    def revoke(self, privilege: str, kind: str, name: str, role: str) -> None:
        """Take a privilege from a role; `name` may hold `*`."""
        self.holes.add(Hole(privilege.upper(), kind.upper(), name, role))

    def grant(self, privilege: str, kind: str, name: str, role: str) -> None:
        """Give a privilege back."""
        wanted = privilege.upper()
        for hole in list(self.holes):
            same = hole.privilege == wanted or wanted in {"ALL", "ALL PRIVILEGES"}
            if same and hole.kind == kind.upper() and hole.role == role and fnmatchcase(name, hole.name):
                self.holes.discard(hole)

    def has(self, role: str, privilege: str, kind: str, *names: str) -> bool:
        """Whether a role may; who owns an object may do anything with it."""
        dotted = ".".join(names)
        return role == ADMIN or not any(
            hole.privilege == privilege
            and hole.kind == kind
            and hole.role == role
            and fnmatchcase(dotted, hole.name)
            for hole in self.holes
        )

    def require(self, role: str, privilege: str, kind: str, *names: str) -> None:
        """Raise what Snowflake raises where the role may not."""
        self.visible(role, *names[:2] if kind in {"TABLE", "STAGE", "TASK", "SCHEMA"} else ())
        if not self.has(role, privilege, kind, *names):
            raise forbidden(kind, names[-1] if names else "account")

    def visible(self, role: str, *names: str) -> None:
        """Raise `does not exist or not authorized` for a database or schema without USAGE."""
        if names and not self.has(role, "USAGE", "DATABASE", names[0]):
            raise missing("Database", names[0])
        if len(names) > 1 and not self.has(role, "USAGE", "SCHEMA", *names):
            raise missing("Schema", *names)

    def of_role(self, catalog: Catalog, role: str) -> Iterator[tuple[str, str, str]]:
        """Give what SHOW GRANTS TO ROLE lists: privilege, kind, dotted name."""
        for privilege, kind, names in _possible(catalog):
            if self.has(role, privilege, kind, *names):
                yield privilege, kind, ".".join(names)


def _possible(catalog: Catalog) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    yield from ((privilege, "ACCOUNT", ()) for privilege in OF_ACCOUNT)
    for warehouse in catalog.warehouses:
        yield from ((privilege, "WAREHOUSE", (warehouse,)) for privilege in OF_WAREHOUSE)
    for database, schemas in catalog.databases.items():
        yield from ((privilege, "DATABASE", (database,)) for privilege in OF_DATABASE)
        for name, schema in schemas.items():
            yield from ((privilege, "SCHEMA", (database, name)) for privilege in OF_SCHEMA)
            for table in schema.tables.values():
                yield from ((privilege, "TABLE", table.path) for privilege in OF_TABLE)
            for stage in schema.stages.values():
                yield from ((each, "STAGE", (database, name, stage.name)) for each in OF_STAGE)
            for task in schema.tasks.values():
                yield from ((each, "TASK", (database, name, task.name)) for each in OF_TASK)
