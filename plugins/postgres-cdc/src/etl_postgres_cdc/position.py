"""What a position of this source says, and its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import define, field, frozen

from etl_core import StateError, Stream

__all__ = ["Column", "Cut", "Identity", "Progress", "TableState", "format_lsn", "parse_lsn"]

_VERSION = 1


def format_lsn(lsn: int) -> str:
    """Return an LSN as PostgreSQL prints it: ``16/B374D848``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> int:
    """Read an LSN. Raises ValueError."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


@frozen
class Column:
    """A column as the stream sent it last; `number` (attnum) is what identifies it."""

    number: int
    name: str
    oid: int
    typmod: int


@frozen
class TableState:
    """What is known of a table at a position.

    `relation` is its oid and `member` says through which catalog entry it is published: another one means
    that changes may be missing. Changes with a commit LSN below `snapshot` are in the snapshot; None: a new
    snapshot is to be taken. No columns: they are taken from the first change. `key` holds attribute numbers.
    """

    relation: int
    member: str
    snapshot: int | None
    columns: tuple[Column, ...] = ()
    key: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "relation": self.relation,
            "member": self.member,
            "snapshot": None if self.snapshot is None else format_lsn(self.snapshot),
            "columns": [[c.number, c.name, c.oid, c.typmod] for c in self.columns],
            "key": list(self.key),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TableState:
        snapshot = data["snapshot"]
        return cls(
            int(data["relation"]),
            str(data["member"]),
            None if snapshot is None else parse_lsn(snapshot),
            tuple(Column(*column) for column in data["columns"]),
            tuple(data["key"]),
        )


@frozen
class Identity:
    """Which stream of changes a position belongs to; `shape` covers what numbers rows in a transaction."""

    system: str
    timeline: int
    slot: str | None
    publication: str | None
    publication_oid: int | None
    shape: str


def _in_order(stream: Stream) -> tuple[str, str]:
    """Return what streams are sorted by; comparing them themselves is many times slower."""
    return stream.namespace, stream.name


@frozen
class Cut:
    """A place inside a transaction: its commit LSN and how many of its rows were delivered."""

    lsn: int
    ordinal: int


@define
class Progress:
    """A position that moves: every transaction that ends at or before `lsn` was delivered.

    Values handed out share the JSON of the tables, which is replaced and never changed. Of many tables few
    change at a time: only those are described anew.
    """

    identity: Identity
    lsn: int
    cut: Cut | None = None
    tables: dict[Stream, TableState] = field(factory=dict)
    #: us since 1970 by the server's clock: all that had committed by then lies before `lsn`.
    as_of: int | None = None
    _json: dict[str, Any] = field(factory=dict)
    _changed: set[Stream] = field(factory=set)
    _pending: list[Stream] | None = None

    def __attrs_post_init__(self) -> None:
        self._changed = set(self.tables)

    def set(self, stream: Stream, table: TableState | None) -> None:
        """Replace what is known of a table; None forgets it."""
        if table is None:
            self.tables.pop(stream, None)
        else:
            self.tables[stream] = table
        self._changed.add(stream)
        self._pending = None

    @property
    def pending(self) -> list[Stream]:
        """The tables of which a snapshot is to be taken, in order."""
        if self._pending is None:
            waiting = (stream for stream, table in self.tables.items() if table.snapshot is None)
            self._pending = sorted(waiting, key=_in_order)
        return self._pending

    def value(self, cut: Cut | None = None) -> dict[str, Any]:
        """Return the position's JSON value; `cut` is a place in the transaction after `lsn`."""
        cut = cut or self.cut
        if self._changed:
            self._json = self._described()
        return {
            "version": _VERSION,
            **attrs.asdict(self.identity),
            "lsn": format_lsn(self.lsn),
            "as_of": self.as_of,
            "transaction": {"lsn": format_lsn(cut.lsn), "ordinal": cut.ordinal} if cut else None,
            "streams": self._json,
        }

    def _described(self) -> dict[str, Any]:
        tables = dict(self._json)
        for stream in sorted(self._changed, key=_in_order):
            table = self.tables.get(stream)
            if table is None:
                tables.pop(str(stream), None)
            else:
                tables[str(stream)] = table.to_json()
        self._changed = set()
        return tables

    @classmethod
    def parse(cls, value: Any) -> Progress:
        """Read a value. Raises StateError when it is not one of this source."""
        try:
            return cls._parse(value)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise StateError(
                "the position is not one of postgres-cdc",
                "was the pipeline's source changed? Reset its state: etl-core state reset",
            ) from None

    @classmethod
    def _parse(cls, value: Any) -> Progress:
        if value["version"] != _VERSION:
            raise ValueError("unknown version")
        identity = Identity(**{a.name: value[a.name] for a in attrs.fields(Identity)})
        cut = value["transaction"]
        return cls(
            identity,
            parse_lsn(value["lsn"]),
            Cut(parse_lsn(cut["lsn"]), int(cut["ordinal"])) if cut else None,
            {Stream.parse(name): TableState.from_json(data) for name, data in value["streams"].items()},
            value.get("as_of"),
        )
