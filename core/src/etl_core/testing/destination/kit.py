"""What the clauses of destinations share: the author's part, running a script, and looking at the outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa

from etl_core.errors import SchemaError
from etl_core.interfaces import Destination, Loader, StateStore
from etl_core.model import OP, SEQ, Delivery, Mode, Stream
from etl_core.result import PipelineResult
from etl_core.schema import reserved_schema
from etl_core.state.memory import MemoryStore
from etl_core.testing.common import CommonClauses
from etl_core.testing.destination.session import Session, loader_named, pipeline
from etl_core.testing.destination.stories import row, short_story
from etl_core.testing.destination.values import as_type, difference, plain
from etl_core.testing.script import COLUMNS, Row, Script, ScriptedSource
from etl_core.testing.verdicts import expect, fail, not_reached, skip

__all__ = ["DestinationKit"]


class DestinationKit(CommonClauses):
    """See `DestinationConformance`."""

    section: ClassVar[str] = "destination"
    #: Whether `read_back` gives rows in the order in which they came.
    ordered: ClassVar[bool] = False
    #: Whether every place where a run can be killed is tried, not a few of them.
    thorough: ClassVar[bool] = False

    def read_back(self, stream: Stream) -> pa.Table | None:
        """Return the rows of a stream that are durable now, with all their columns; None: no such table.

        Called only while no connector of the kit is open in this process.
        """
        not_reached("give `read_back(stream)`: what is durable cannot be looked at without it")

    def expected(self, values: pa.Array, kept: pa.DataType) -> pa.Array | None:
        """Return what `values` read back as where `stored` says another type; None: as they are.

        Override it where Arrow's cast is not what your system does.
        """
        return as_type(values, kept)

    @cached_property
    def probe(self) -> Destination:
        """One that is never opened: to ask what it claims."""
        made: Destination = self.make()
        return made

    @cached_property
    def state(self) -> StateStore:
        return MemoryStore()

    @cached_property
    def columns(self) -> pa.Schema:
        """The columns of scripts: those of COLUMNS that it does not refuse."""
        return pa.schema([field for field in COLUMNS if self._keeps(field.type)])

    def stream(self, name: str = "orders") -> Stream:
        """Return a stream in the clause's own namespace."""
        return Stream(self.namespace, name)

    def loaders(self) -> list[str]:
        """Return the loaders that it can serve."""
        wanted = {name: loader_named(name).needs for name in ("append", "upsert", "replace")}
        able = [name for name, needs in wanted.items() if needs <= self.probe.modes]
        able = able if self.probe.stages else [name for name in able if name != "replace"]
        if not able:
            modes = ", ".join(sorted(mode.value for mode in self.probe.modes))
            fail("no loader of the core can load into it", modes=modes, stages=self.probe.stages)
        return able

    def something(self, stream: Stream) -> Script:
        """Return a script that it can load, whatever its modes."""
        if self.loaders()[0] == "replace":
            return Script(stream, self.columns).snapshot([row(1), row(2)])
        return short_story(stream, self.columns)

    def following(self) -> list[str]:
        """Return the loaders that take changes; without one the clause is skipped."""
        able = [name for name in self.loaders() if name != "replace"]
        return able or skip("it takes no changes")

    def needs_loader(self, name: str) -> None:
        """Skip the clause unless this loader can be served."""
        if name not in self.loaders():
            skip(f"it cannot do what {name} needs")

    def exact(self, loader: str) -> bool:
        """Whether nothing comes twice under this loader."""
        modes = loader_named(loader).needs - {Mode.TRUNCATE}
        return all(self.probe.delivery(mode) is Delivery.EXACTLY_ONCE for mode in modes)

    @contextmanager
    def session(
        self,
        loader: Loader | None = None,
        *,
        destination: Destination | None = None,
        fence: str = "kit",
        epoch: int = 1,
    ) -> Iterator[Session]:
        """Open a destination and drive it call by call; closed at the end."""
        chosen = loader or loader_named(self.loaders()[0])
        with (
            self.context(epoch=epoch) as ctx,
            Session(destination or self.make(), ctx, chosen, fence=fence, epoch=epoch) as opened,
        ):
            yield opened

    def run(
        self,
        script: Script,
        loader: str | Loader,
        *,
        source: ScriptedSource | None = None,
        destination: Destination | None = None,
        **options: Any,
    ) -> PipelineResult:
        """Run a pipeline from the script into a new destination, from where the last run stopped."""
        return pipeline(
            self.named(script),
            source or ScriptedSource(script),
            destination or self.make(),
            loader_named(loader) if isinstance(loader, str) else loader,
            self.state,
            self.directory / "spill",
            **options,
        ).run()

    def rows(self, stream: Stream) -> pa.Table:
        """Return what is durable; a table that is not there breaks the clause."""
        found = self.read_back(stream)
        return found if found is not None else fail("the table is not there", stream=stream.name)

    def expect_outcome(self, script: Script, loader: str, upto: int | None = None, /, **facts: Any) -> None:
        """Break the clause unless the destination holds what the script says."""
        if loader == "append":
            self.expect_history(script, upto, **facts)
        else:
            rows = list(script.mirror(upto).values())
            self.expect_rows(script.stream, rows, script.schema, script.key, **facts)

    def expect_history(self, script: Script, upto: int | None = None, /, **facts: Any) -> None:
        """Expect every change once; where it is at-least-once, repeated ones are told by `_etl_seq`."""
        wanted = script.history(self.epoch(script), upto, reserved=True)
        reserved = reserved_schema(script.schema, script.key)
        required = pa.schema([*script.schema, reserved.field(OP), reserved.field(SEQ)])
        there = self.rows(script.stream)
        names = {self.probe.fold(name) for name in there.column_names}
        more = [each for each in reserved if self.probe.fold(each.name) in names and each not in required]
        schema = pa.schema([*required, *more])
        found = self._plain(self.found(there, schema), schema)
        if not self.exact("append"):
            found = _once(found)
        expected = self._plain(self.wanted(wanted, schema), schema)
        differing = difference(expected, found, [SEQ])
        expect(not differing, "the history is not what was sent", **facts, **differing)
        seqs = [each[SEQ] for each in found]
        expect(not self.ordered or seqs == sorted(seqs), "changes are not in the order in which they came")

    def expect_rows(
        self, stream: Stream, rows: Sequence[Row], schema: pa.Schema, key: Sequence[str], /, **facts: Any
    ) -> None:
        """Expect exactly these rows, whatever their order."""
        found = self._plain(self.found(self.rows(stream), schema), schema)
        wanted = self._plain(self.wanted(rows, schema), schema)
        differing = difference(wanted, found, key)
        expect(not differing, "the rows are not what was sent", **facts, **differing)

    def named(self, script: Script) -> str:
        """Return the name of the pipeline that a script goes through."""
        return f"{self.namespace}_{script.stream.name}"

    def epoch(self, script: Script) -> int:
        """Return the epoch of the run that told a script; 1 where it was told call by call."""
        position = self.state.load(self.named(script))
        return position.epoch if position else 1

    def wanted(self, rows: Sequence[Row], schema: pa.Schema) -> dict[str, pa.Array]:
        """Return columns of rows as they should read back."""
        return {
            field.name: self._expected(pa.array([each.get(field.name) for each in rows], field.type))
            for field in schema
        }

    def found(self, table: pa.Table, schema: pa.Schema) -> dict[str, pa.ChunkedArray]:
        """Return the columns that were read back under the names that were sent."""
        fold = self.probe.fold
        places = {fold(name): place for place, name in enumerate(table.column_names)}
        lacking = [name for name in schema.names if fold(name) not in places]
        expect(not lacking, "columns are missing", columns=", ".join(lacking))
        return {name: table.column(places[fold(name)]) for name in schema.names}

    def ids(self, stream: Stream) -> list[int]:
        """Return the column `id` of what is durable, as numbers whatever it is kept as."""
        return self.numbers(self.rows(stream))

    def numbers(self, table: pa.Table) -> list[int]:
        """Return the column `id` of what was read back, as numbers whatever it is kept as."""
        column = self.found(table, pa.schema([("id", pa.int64())]))["id"]
        numbers: list[int] = column.cast(pa.int64()).to_pylist()
        return numbers

    def _expected(self, values: pa.Array) -> pa.Array:
        kept = self.probe.stored(values.type)
        changed = None if kept == values.type else self.expected(values, kept)
        return values if changed is None else changed

    @staticmethod
    def _plain(columns: Mapping[str, Any], schema: pa.Schema) -> list[Row]:
        values = [plain(columns[name]) for name in schema.names]
        return [dict(zip(schema.names, each, strict=True)) for each in zip(*values, strict=True)]

    def _keeps(self, type: pa.DataType) -> bool:
        try:
            self.probe.stored(type)
        except SchemaError:
            return False
        return True

    def exercise(self) -> None:
        with self.context() as ctx:
            destination = self.make()
            destination.check(ctx)
            with Session(destination, ctx, loader_named(self.loaders()[0])) as session:
                session.tell(self.something(self.stream("used")))
                session.flush()


def _once(rows: Sequence[Row]) -> list[Row]:
    """Return rows without those that came before in every value: what at-least-once allows."""
    return list({repr(row): row for row in rows}.values())
