"""Driving a loader as the engine does: schema first, then batches cut this way or that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import ClassVar, Literal

import pyarrow as pa
from attrs import evolve, frozen

from etl_core.interfaces import Loader
from etl_core.model import SEQ, Batch, Kind, Mode, Stream, TableSchema, Write
from etl_core.schema import data_columns, with_key
from etl_core.testing.common import CommonClauses
from etl_core.testing.loader.tables import ReferenceTable
from etl_core.testing.script import Script
from etl_core.testing.stories import altered, snapshot_of, truncated, wandering
from etl_core.testing.verdicts import skip

__all__ = ["CUTS", "Cut", "LoaderKit", "Planned", "by", "gathered", "unsequenced", "whole"]

#: Cuts the rows that come between two markers.
Cut = Callable[[pa.Table], Sequence[pa.Table]]
_EPOCH = 1


@frozen
class Planned:
    """One batch, the writes it became, and the table as the loader asked for it last."""

    batch: Batch
    writes: Sequence[Write]
    table: TableSchema

    @property
    def highest(self) -> bytes | None:
        """The highest seq of the batch."""
        if not isinstance(self.batch.rows, pa.Table):
            return self.batch.seq
        return max((seq for seq in self.batch.rows.column(SEQ).to_pylist() if seq), default=None)


def whole(rows: pa.Table) -> Sequence[pa.Table]:
    """Leave the rows together, in the chunks in which they came."""
    return [rows]


def by(size: int) -> Cut:
    """Cut into tables of `size` rows."""
    return lambda rows: [rows.slice(start, size) for start in range(0, rows.num_rows, size)]


def _anyhow(rows: pa.Table) -> Sequence[pa.Table]:
    """Cut at random places, into tables of several chunks."""
    random = Random(rows.num_rows)  # noqa: S311 - no secret: a story to be told again
    edges = sorted({0, rows.num_rows, *random.choices(range(rows.num_rows), k=4)})
    return [
        pa.concat_tables([rows.slice(start, 1), rows.slice(start + 1, end - start - 1)])
        for start, end in pairwise(edges)
    ]


CUTS: dict[str, Cut] = {"single rows": by(1), "threes": by(3), "elevens": by(11), "anyhow": _anyhow}


class LoaderKit(CommonClauses):
    """What the clauses for loaders are given, and the loader in use."""

    section: ClassVar[str] = "load"
    stream: ClassVar[Stream] = Stream("conformance", "rows")
    #: What its table holds: the source's rows as they are (`mirror`), every change (`history`), or something
    #: else (None: only the form of its writes is looked at). By default what its modes suggest.
    result: ClassVar[Literal["mirror", "history", "by mode"] | None] = "by mode"
    #: The key it uses where its settings name one: only `("id",)` is told with every change of the stories.
    key: ClassVar[tuple[str, ...] | None] = None
    #: Try many more stories.
    thorough: ClassVar[bool] = False

    @property
    def holds(self) -> str | None:
        """What its table holds: mirror, history or None."""
        if self.result != "by mode":
            return self.result
        return "history" if self.needs == {Mode.APPEND} else "mirror"

    @property
    def needs(self) -> frozenset[Mode]:
        loader: Loader = self.make()
        return loader.needs

    @property
    def snapshot_only(self) -> bool:
        return bool(self.make().snapshot_only)

    def need_result(self) -> None:
        """Skip a clause about what the table holds where that is the loader's own matter."""
        if self.holds is None:
            skip("what its table holds is its own matter")

    def need_changes(self) -> None:
        """Skip a clause about changes where the loader takes none."""
        if self.snapshot_only:
            skip("it takes snapshots only")

    def need_merge(self) -> None:
        """Skip a clause about keys where the loader does not merge."""
        if Mode.MERGE not in self.needs:
            skip("it does not merge")

    def story(self, seed: int = 0) -> Script:
        """Return a script that the loader takes."""
        return snapshot_of(self.stream, seed) if self.snapshot_only else wandering(self.stream, seed)

    def stories(self) -> list[Script]:
        """Return scripts that show every kind of batch the loader takes."""
        others = [] if self.snapshot_only else [truncated(self.stream), altered(self.stream)]
        return [self.story(1), self.story(2), *others]

    def plan(self, script: Script, cut: Cut = whole, *, first: int = 0) -> list[Planned]:
        """Plan the transactions of a script from `first` on, with a new loader."""
        return [*self.planning(self.make(), script, cut, first=first)]

    def planning(
        self, loader: Loader, script: Script, cut: Cut = whole, *, first: int = 0
    ) -> Iterator[Planned]:
        """Plan a script batch by batch."""
        return self.planning_of(loader, script, gathered(script, cut, first))

    def planning_of(self, loader: Loader, script: Script, batches: Iterable[Batch]) -> Iterator[Planned]:
        """Plan batches one by one; ask for the table whenever the columns are others."""
        known = with_key(script.first_schema, script.key)
        table = loader.schema(script.stream, known)
        for batch in batches:
            columns = batch.schema if batch.rows is None else data_columns(batch.rows.schema)
            if columns is not None and not known.equals(columns):
                known = with_key(columns, script.key)
                table = loader.schema(script.stream, known)
            writes = [] if batch.kind is Kind.SCHEMA else [*loader.plan(batch)]
            yield Planned(batch, writes, table)

    def table_of(self, planned: Sequence[Planned], table: ReferenceTable | None = None) -> ReferenceTable:
        """Apply writes one after the other, and changes of schema where they come."""
        reference = table or ReferenceTable()
        for one in planned:
            reference.alter(one.batch.changes)
            for write in one.writes:
                reference.apply(write, one.table)
        return reference

    def exercise(self) -> None:
        """Ask for the table, plan a story."""
        self.plan(self.story())


def gathered(script: Script, cut: Cut, first: int = 0) -> Iterator[Batch]:
    """Yield a script's batches, rows between two markers gathered and cut."""
    waiting: list[pa.RecordBatch] = []
    for batch in [*script.batches(_EPOCH, first), Batch.progress(None)]:
        if batch.kind is Kind.ROWS:
            waiting.append(batch.rows)
            continue
        if waiting:
            rows = pa.Table.from_batches(waiting)
            yield from (Batch(Kind.ROWS, script.stream, piece) for piece in cut(rows))
            waiting = []
        if batch.kind is not Kind.PROGRESS:
            yield batch


def unsequenced(batch: Batch) -> Batch:
    """Return a batch as one of a source that has no sequences."""
    rows = batch.rows
    if not isinstance(rows, pa.Table):
        return evolve(batch, seq=None)
    place = rows.schema.get_field_index(SEQ)
    field = rows.schema.field(place)
    return evolve(batch, rows=rows.set_column(place, field, pa.nulls(rows.num_rows, field.type)), seq=None)
