"""One read's connections and what all its parts share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from attrs import frozen

from etl_core import Context, PositionLostError, Stream
from etl_pglib.types import TypeCatalog
from etl_postgres_cdc import catalog as catalogs
from etl_postgres_cdc import publication as publications
from etl_postgres_cdc.catalog import Table
from etl_postgres_cdc.client import Catalog, Replication
from etl_postgres_cdc.config import PostgresCdc, default_name
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.position import Column, Progress
from etl_postgres_cdc.tables import Selection

__all__ = ["Server", "Session"]


@frozen
class Server:
    """Which server this is: another one, or another timeline, has another history."""

    system: str
    timeline: int


class Session:
    """The connections of one `read`, opened when first needed, and what its parts share."""

    def __init__(self, config: PostgresCdc, ctx: Context) -> None:
        self.config = config
        self.ctx = ctx
        self.selection = Selection(tuple(config.tables))
        self.slot = config.slot or default_name(ctx.pipeline)
        self.publication = config.publication or default_name(ctx.pipeline)
        self.catalog = Catalog(config.dsn, ctx)
        self.types = TypeCatalog.load(self.catalog.connection, config.as_text)
        self._replication: Replication | None = None
        #: Tables of the position that are not published now, of which this was said.
        self.gone: set[Stream] = set()
        self.server: Server
        self.progress: Progress

    @property
    def replication(self) -> Replication:
        """The walsender that creates the slot and then streams."""
        if self._replication is None:
            self._replication = Replication(self.config.dsn, self.ctx)
        return self._replication

    def reconnect(self) -> Replication:
        """Replace the walsender's connection."""
        if self._replication:
            self._replication.close()
            self._replication = None
        return self.replication

    @property
    def shape(self) -> str:
        """Return a hash of what decides which rows of a transaction are sent, and in which order."""
        text = "\n".join(["pgoutput 1", self.publication, *sorted(self.config.tables)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def identify(self) -> Server:
        """Ask the server who it is."""
        row = self.replication.run("IDENTIFY_SYSTEM", "identifying the server")[0]
        return Server(str(row[0]), int(row[1] or 0))

    @property
    def streams(self) -> bool:
        """Whether changes are followed: then there are a slot and a publication."""
        return self.config.snapshot != "only"

    def tables(self, catalog: Catalog | None = None) -> list[Table]:
        """Return the tables to read, as they are published now; to copy only, no publication is needed."""
        if self.streams or self.config.publication:
            return catalogs.published(catalog or self.catalog, self.publication, self.selection)
        return catalogs.candidates(catalog or self.catalog, self.selection)

    def table(self, stream: Stream, catalog: Catalog | None = None) -> Table | None:
        """Return one table as `tables` would, or None when it is not one to read."""
        if not self.selection(stream):
            return None
        if self.streams or self.config.publication:
            return catalogs.published_table(catalog or self.catalog, self.publication, stream)
        return catalogs.candidate(catalog or self.catalog, stream)

    def discover(self) -> list[Table]:
        """Return the tables to read, or those that a publication will be made of."""
        if publications.find(self.catalog, self.publication):
            return self.tables()
        return catalogs.candidates(self.catalog, self.selection)

    def layout(self, columns: Sequence[Column], key: Sequence[int]) -> Layout:
        """Return the layout of a table's rows."""
        numbers = [column.number for column in columns]
        types = tuple(self.types.resolve(column.oid, column.typmod) for column in columns)
        names = tuple(column.name for column in columns)
        return Layout(names, types, tuple(numbers.index(number) for number in key))

    def lost(self, message: str, hint: str, **facts: object) -> PositionLostError:
        """Return the error for a position that cannot be served, under the policy of `on_slot_lost`."""
        again = self.config.on_slot_lost == "resnapshot" and self.config.snapshot == "initial"
        return PositionLostError(message, hint, resnapshot=again, slot=self.slot, **facts)

    def close(self) -> None:
        """End the connections."""
        if self._replication:
            self._replication.close()
        self.catalog.close()
