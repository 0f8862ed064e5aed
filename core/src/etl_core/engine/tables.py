"""The destination's side of a stream: its table is made to fit before rows are written to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs
import pyarrow as pa
from attrs import define

from etl_core.engine import failpoints
from etl_core.engine.evolution import Plan, fit, reconcile
from etl_core.engine.stages import stage
from etl_core.errors import SchemaError
from etl_core.model import Mode, Rejected, Step, Stream, TableSchema, Write

if TYPE_CHECKING:
    from etl_core.config import LoadSettings
    from etl_core.engine.observing import ObserverHub
    from etl_core.interfaces import Destination, Loader
    from etl_core.model import Change

__all__ = ["Tables", "Targets"]


class Targets:
    """Where streams land, and which stream a target is of."""

    def __init__(self, rename: Callable[[Stream], Stream], streams: Iterable[Stream]) -> None:
        self._rename = rename
        self._sources = {rename(stream): stream for stream in streams}

    def of(self, stream: Stream) -> Stream:
        """Return where a stream lands."""
        target = self._rename(stream)
        self._sources.setdefault(target, stream)
        return target

    def source(self, target: Stream) -> Stream:
        """Return the stream that lands in a target; of one that is not known, the target."""
        return self._sources.get(target, target)


@define
class _Table:
    target: Stream
    plan: Plan


class Tables:
    """Applies the schema policy, renames streams to their target, adapts staged writes."""

    def __init__(
        self,
        destination: Destination,
        loader: Loader,
        settings: LoadSettings,
        rename: Callable[[Stream], Stream],
        hub: ObserverHub,
    ) -> None:
        self._destination = destination
        self._loader = loader
        self._settings = settings
        self._rename = rename
        self._hub = hub
        self._tables: dict[Stream, _Table] = {}
        self._folded: dict[tuple[str, str], Stream] = {}
        self._discarded: set[tuple[Stream, str]] = set()

    def prepare(
        self,
        stream: Stream,
        schema: pa.Schema,
        changes: Sequence[Change] = (),
        seq: bytes | None = None,
        *,
        replacing: bool = False,
        before_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the table of `stream` fit `schema` (its key in the metadata), or raise SchemaError.

        `replacing` says that a snapshot begins; `before_change` is called when the destination is about to
        be asked to change something.
        """
        target, current, wanted = self._looked_up(stream, schema, seq)
        if current and current.seq and seq and seq <= current.seq:
            changes = ()
        with stage("destination"):
            plan = self._reconcile(current, wanted, changes, replacing)
        if current is None or plan.changes or (seq and changes):
            before_change()
            with stage("destination"):
                self._destination.ensure(plan.table, plan.changes)
        self._tables[stream] = _Table(target, plan)
        self._say_discarded(stream, plan)
        if current is not None and plan.changes:
            self._hub.emit("schema_changed", stream=str(stream), changes=[repr(c) for c in plan.changes])
            failpoints.hit("schema_change")

    def existing(self, stream: Stream, schema: pa.Schema, before_change: Callable[[], None]) -> None:
        """Use the table as it is, where there is one; else create it."""
        target, current, wanted = self._looked_up(stream, schema)
        if current is None:
            self.prepare(stream, schema, before_change=before_change)
        elif stream not in self._tables:
            self._tables[stream] = _Table(target, Plan(table=wanted))

    def write(self, write: Write) -> Sequence[Rejected]:
        """Hand one write to the destination; return what was refused, under the source's stream."""
        adapted = self._adapt(write)
        if adapted is None:
            return ()
        table = self._tables[write.stream]
        refused: list[Rejected] = []
        rows = adapted.rows
        if rows is not None:
            with stage("load"):
                rows, misfits = fit(rows, table.plan)
            refused += [_misfit(write, rows_, code, column) for rows_, code, column in misfits]
        with stage("destination"):
            out = self._destination.write(attrs.evolve(adapted, stream=table.target, rows=rows))
        return [*refused, *(attrs.evolve(rejected, stream=write.stream) for rejected in out or ())]

    def _adapt(self, write: Write) -> Write | None:
        """Turn a staged write into what a destination without staging can do."""
        if write.step is None or self._destination.stages:
            return write
        if write.step is Step.ROWS:
            return attrs.evolve(write, step=None)
        if write.step is Step.BEGIN and write.mode is not Mode.APPEND:
            return attrs.evolve(write, step=None, mode=Mode.TRUNCATE)
        return None

    def _looked_up(
        self, stream: Stream, schema: pa.Schema, seq: bytes | None = None
    ) -> tuple[Stream, TableSchema | None, TableSchema]:
        """Return where a stream lands, the table that is there, and the one the loader wants."""
        with stage("destination"):
            target = self._target(stream)
            current = self._destination.table(target)
        with stage("loader"):
            wanted = attrs.evolve(self._loader.schema(stream, schema), stream=target, seq=seq)
        return target, current, wanted

    def _say_discarded(self, stream: Stream, plan: Plan) -> None:
        """Say once of each column that the policy leaves out or loads as null."""
        for name in sorted(plan.left_out | plan.nulled):
            if (stream, name) not in self._discarded:
                self._discarded.add((stream, name))
                self._hub.emit("column_discarded", stream=str(stream), column=name)

    def _reconcile(
        self, current: TableSchema | None, wanted: TableSchema, changes: Sequence[Change], replacing: bool
    ) -> Plan:
        return reconcile(
            current,
            wanted,
            changes,
            self._settings.schema,
            drop_columns=self._settings.drop_columns,
            stored=self._destination.stored,
            fold=self._destination.fold,
            replacing=replacing,
        )

    def _target(self, stream: Stream) -> Stream:
        target = self._rename(stream)
        fold = self._destination.fold
        other = self._folded.setdefault((fold(target.namespace), fold(target.name)), stream)
        if other != stream:
            raise SchemaError(
                "two streams land in the same table",
                "give one of them another target under destination.schema",
                stream=str(stream),
                other=str(other),
            )
        return target


def _misfit(write: Write, rows: pa.Table, code: str, column: str | None) -> Rejected:
    return Rejected(write.stream, rows, code, column, stage="load")
