"""One account: everything that the emulator holds, wired together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from etl_snowflake.emulator.auth import Door, User, new_key
from etl_snowflake.emulator.catalog import Catalog
from etl_snowflake.emulator.channels import Channels
from etl_snowflake.emulator.errors import SnowflakeError
from etl_snowflake.emulator.faults import Faults, Switches
from etl_snowflake.emulator.files import Files
from etl_snowflake.emulator.grants import ADMIN, Grants
from etl_snowflake.emulator.journal import Journal
from etl_snowflake.emulator.scheduler import Scheduler
from etl_snowflake.emulator.sessions import Session, Sessions
from etl_snowflake.emulator.store import Store
from etl_snowflake.emulator.transactions import Transactions


@dataclass(frozen=True)
class Names:
    """What the account and its first objects are called."""

    account: str = "EMULATOR"
    user: str = "ETL_USER"
    role: str = "ETL_ROLE"
    warehouse: str = "ETL_WH"
    database: str = "ETL_DB"
    schema: str = "PUBLIC"


class Account:
    """The account and its parts; `directory` keeps keys, staged files and, with `keep`, the rows."""

    def __init__(self, directory: Path, names: Names, switches: Switches, *, keep: bool) -> None:
        self.names = names
        self.name: str = names.account
        self.address = ""
        self.store = Store(directory / "account.duckdb" if keep else None)
        self.files = Files(directory / "files")
        self.journal = Journal()
        self.faults = Faults(switches)
        self.grants = Grants()
        self.door = Door(names.account)
        self.sessions = Sessions()
        self.roles = {ADMIN, names.role}
        self.owner = User(names.user, [names.role, ADMIN])
        self.owner.keys[0] = new_key(directory / "key.pem").public_key()
        self.door.users[names.user] = self.owner
        self.transactions = Transactions(self.store, switches)
        self.channels = Channels(self)
        self.scheduler = Scheduler(self)
        self._found()

    @property
    def catalog(self) -> Catalog:
        """What there is."""
        return self.store.catalog

    def _found(self) -> None:
        if self.names.warehouse not in self.catalog.warehouses:
            self.catalog.warehouses.append(self.names.warehouse)
        self.store.ensure_schema(self.names.database, "PUBLIC")
        self.store.ensure_schema(self.names.database, self.names.schema)
        self.store.save()

    def start(self) -> None:
        """Begin what works on its own: commits of channels, and tasks."""
        self.channels.start()
        self.scheduler.start()

    def stop(self) -> None:
        """End it, and close the store."""
        self.scheduler.stop()
        self.channels.stop()
        self.store.close()

    def new_session(self, user: User, role: str | None = None) -> Session:
        """Open a session without tokens."""
        chosen = (role or user.roles[0]).strip('"')
        if chosen not in user.roles:
            text = f"Role '{chosen}' specified in the connect string is not granted to this user."
            raise SnowflakeError("390189", "08001", text)
        return Session(self.sessions.number(), user, chosen, self.store.cursor())

    def place_session(
        self, session: Session, warehouse: str | None, database: str | None, schema: str | None
    ) -> None:
        """Choose warehouse, database and schema as a login does: what is not there is left out."""
        seen = self.grants.has
        if warehouse in self.catalog.warehouses and seen(session.role, "USAGE", "WAREHOUSE", str(warehouse)):
            session.warehouse = warehouse
        if database in self.catalog.databases and seen(session.role, "USAGE", "DATABASE", str(database)):
            session.database = database
            wanted = schema or "PUBLIC"
            known = wanted in self.catalog.databases[str(database)]
            if known and seen(session.role, "USAGE", "SCHEMA", str(database), wanted):
                session.schema = wanted

    def end_session(self, session: Session) -> None:
        """Roll back, drop what was temporary, and forget the session."""
        self.sessions.close(session)
        with session.busy:
            self.transactions.rollback(session)
            for table in [each for each in self.catalog.tables() if each.session == session.number]:
                session.cursor.execute(f"DROP TABLE IF EXISTS {table.sql}")
                self.catalog.remove(table)
            session.cursor.close()
        self._drop_stages(session.number)

    def _drop_stages(self, number: int) -> None:
        for schemas in self.catalog.databases.values():
            for schema in schemas.values():
                for stage in [each for each in schema.stages.values() if each.session == number]:
                    self.files.remove(stage.prefix, "")
                    del schema.stages[stage.name]


def folded(text: str | None) -> str | None:
    """Read a name out of connection parameters: quotes keep its case."""
    if not text:
        return None
    found = re.fullmatch(r'"((?:[^"]|"")*)"', text)
    return found[1].replace('""', '"') if found else text.upper()
