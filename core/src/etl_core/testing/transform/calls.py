"""Calling a transform as the engine does, and comparing what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NoReturn

import pyarrow as pa
from attrs import field, frozen

from etl_core.engine.answers import Answer, Refusal
from etl_core.errors import EtlError, PluginError
from etl_core.interfaces import Transform
from etl_core.model import RESERVED, Stream
from etl_core.schema import add_reserved, with_key
from etl_core.testing.common import CommonClauses
from etl_core.testing.contexts import KitContext
from etl_core.testing.verdicts import expect, fail, not_reached

__all__ = ["Line", "Told", "TransformKit", "Use", "expect_same", "reversed_rows"]

#: An output row: the input row it came from, and its values as they print.
Line = tuple[int, tuple[str, ...]]

_FEWEST = 20


@frozen
class Told:
    """What a transform made of some rows: its own, where each came from, and why others were rejected."""

    rows: pa.RecordBatch
    origin: Sequence[int]
    rejected: dict[int, str] = field(factory=dict)

    def lines(self, *, shift: int = 0, without: frozenset[str] = frozenset()) -> list[Line]:
        """Return the rows as they print (NaN equals NaN), each behind the number of its input row."""
        names = [name for name in self.rows.schema.names if name not in without]
        columns = [[repr(value) for value in self.rows.column(name).to_pylist()] for name in names]
        values = zip(*columns, strict=True) if columns else iter([()] * self.rows.num_rows)
        return [(row + shift, tuple(texts)) for row, texts in zip(self.origin, values, strict=True)]

    def dropped(self, count: int) -> set[int]:
        """Return the input rows that gave no output and were not rejected."""
        return set(range(count)).difference(self.origin, self.rejected)


def expect_same(found: Sequence[Line], wanted: Sequence[Line], message: str, **facts: object) -> None:
    """Break the clause unless both are the same rows in the same order."""
    expect(len(found) == len(wanted), message, rows=len(found), wanted=len(wanted), **facts)
    place = next((n for n, (one, other) in enumerate(zip(found, wanted, strict=True)) if one != other), None)
    expect(place is None, message, output_row=place, **facts)


def reversed_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows in the opposite order, in memory of their own."""
    return rows.take(pa.array(range(rows.num_rows - 1, -1, -1), pa.int64()))


@frozen
class Use:
    """An open transform and the context it was opened with."""

    transform: Transform
    ctx: KitContext
    stream: Stream
    key: tuple[str, ...]
    one_to_one: bool

    def raw(self, rows: pa.RecordBatch, stream: Stream | None = None) -> tuple[object, list[Refusal]]:
        """Apply it; return what it gave, and what it rejected, as they are."""
        self.ctx.rejections.clear()
        given = self.transform.apply(self.ctx, stream or self.stream, rows)
        return given, [*self.ctx.rejections]

    def judged(self, rows: pa.RecordBatch, stream: Stream | None = None) -> Answer:
        """Apply it; raise PluginError where the answer breaks the contract."""
        given, refused = self.raw(rows, stream)
        return Answer.of("transform", given, rows.num_rows, refused, one_to_one=self.one_to_one)

    def apply(self, rows: pa.RecordBatch, stream: Stream | None = None) -> Told:
        """Apply it; the clause is not reached where the answer cannot be read."""
        try:
            answer = self.judged(rows, stream)
            answer.check_columns("transform", self.schema(rows, stream))
        except PluginError as error:
            not_reached("its answers break the contract, as other clauses say", broken=error.message)
        rejected = {row: code for indices, code, _ in answer.refused for row in indices}
        origin = range(rows.num_rows) if answer.origin is None else answer.origin
        return Told(answer.rows, origin, rejected)

    def schema(self, rows: pa.RecordBatch, stream: Stream | None = None) -> pa.Schema:
        """Ask for the columns behind it."""
        return self.transform.schema(stream or self.stream, with_key(rows.schema, self.key))


class TransformKit(CommonClauses):
    """What the clauses for transforms are given, and the transform in use."""

    section: ClassVar[str] = "transform"
    #: The stream that `rows` are of.
    stream: ClassVar[Stream] = Stream("conformance", "rows")
    #: Its key columns; empty: it has none. None: not given, and what is promised of keys is not tried.
    key: ClassVar[tuple[str, ...] | None] = None
    #: Its result for a row depends on the other rows of the batch: cuts are not compared.
    per_batch: ClassVar[bool] = False
    #: It makes several rows of one, and is for histories only.
    fans_out: ClassVar[bool] = False
    #: Output columns that differ by nature from call to call, such as a time; their values are not compared.
    varies: ClassVar[frozenset[str]] = frozenset()

    def rows(self) -> pa.RecordBatch:
        """Return rows that the transform is meant for: 20 or more, with nulls and unlike values."""
        raise NotImplementedError

    def bad_rows(self) -> pa.RecordBatch | None:
        """Return rows, with the columns of `rows`, each of which it must reject; None: there are none."""
        return None

    @property
    def keys(self) -> tuple[str, ...]:
        """The key columns, so far as they were given."""
        return self.key or ()

    def sample(self) -> pa.RecordBatch:
        """Return `rows`, looked over."""
        rows = self.rows()
        if rows.num_rows < _FEWEST:
            not_reached("`rows` must return 20 rows or more", found=rows.num_rows)
        if missing := [name for name in self.keys if name not in rows.schema.names]:
            not_reached("a column of `key` is not in `rows`", column=missing[0])
        if reserved := [name for name in rows.schema.names if name in RESERVED]:
            not_reached("`rows` must be without reserved columns", column=reserved[0])
        return rows

    @contextmanager
    def opened(self, transform: Transform | None = None) -> Iterator[Use]:
        """Make a transform (or take this one), open it, and close it at the end."""
        made: Any = self.make() if transform is None else transform
        with self.context() as ctx:
            try:
                made.open(ctx)
                yield Use(made, ctx, self.stream, self.keys, not self.fans_out)
            finally:
                made.close()

    def lines(self, told: Told, shift: int = 0) -> list[Line]:
        """Return the output as it is compared."""
        return told.lines(shift=shift, without=self.varies)

    def exercise(self) -> None:
        """Ask for the columns, open, apply, close."""
        transform, rows = self.make(), self.sample()
        transform.schema(self.stream, with_key(rows.schema, self.keys))
        transform.inputs(self.stream)
        with self.opened(transform) as use:
            try:
                use.raw(rows)
            except EtlError:
                raise
            except Exception as error:  # noqa: BLE001 - raised again, unless there is more to say
                self._explain(use, rows, error)

    def _explain(self, use: Use, rows: pa.RecordBatch, error: Exception) -> NoReturn:
        """Say so where it only works with what no transform is given; else raise what it raised."""
        try:
            use.raw(add_reserved(rows, self.keys, "i"))
        except Exception:  # noqa: BLE001 - the first error is the one to tell
            raise error from None
        fail("it needs reserved columns, which no transform is given", error=type(error).__name__)
