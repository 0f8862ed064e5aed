"""The transforms of a pipeline, applied so that a mirror stays a mirror.

Transforms see data columns only. Deletes go around them, as keys; what a delete or a key change says of
a key is mapped by the transforms that map keys. An update whose row a transform drops becomes a delete,
since the row may have been delivered before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

import pyarrow as pa
import pyarrow.compute as pc
from attrs import define

from etl_core.connectors import TransformStep
from etl_core.engine.answers import Answer, Refusal
from etl_core.engine.lineage import Lineage, Marks
from etl_core.engine.reattaching import deletes, in_order, keys_of, old_keys, reattach, with_reserved
from etl_core.engine.routes import Route, Stage, route_of
from etl_core.errors import PluginError
from etl_core.interfaces import Context
from etl_core.model import OLD_KEY, OP, UNCHANGED, Batch, Rejected, Stream
from etl_core.schema import data_columns, key_of

__all__ = ["TransformChain"]


class _Context(Context, Protocol):
    rejections: list[tuple[list[int], str, str | None]]


@define
class _Flow:
    """Rows of one batch between two transforms: data, the original row of each, marks, what was lost."""

    data: pa.RecordBatch
    origin: Sequence[int] | None
    marks: Marks
    dropped: list[int]

    def origin_of(self, count: int) -> Sequence[int]:
        """Return the original row of each of `count` rows."""
        return range(count) if self.origin is None else self.origin

    def original(self, rows: Sequence[int]) -> list[int]:
        """Return the original rows of these."""
        return list(rows) if self.origin is None else [self.origin[row] for row in rows]


class TransformChain:
    """Applies each step to the streams it is for. Not thread-safe: one thread loads.

    `context` makes the context of a step by name; what a transform passes to its `reject` must be found
    in its list `rejections` of `(indices, code, column)`. `mirror` holds transforms to what a mirror
    needs: at most one row per row, nothing computed from values the source did not send.
    """

    def __init__(
        self, steps: Sequence[TransformStep], context: Callable[[str], Context], *, mirror: bool
    ) -> None:
        self._steps = tuple(steps)
        self._context = context
        self._mirror = mirror
        self._contexts: list[_Context] = []
        self._routes: dict[Stream, Route] = {}
        #: Seconds spent in each step.
        self.durations = [0.0 for _ in steps]

    def open(self) -> None:
        """Open every transform, in order."""
        for step in self._steps:
            ctx = cast("_Context", self._context(step.name))
            self._contexts.append(ctx)
            step.transform.open(ctx)

    def close(self) -> None:
        """Close every transform; raise the first failure when all were asked."""
        errors: list[Exception] = []
        for step in reversed(self._steps):
            try:
                step.transform.close()
            except Exception as error:  # noqa: BLE001 - the others are closed before it is raised
                errors.append(error)
        if errors:
            raise errors[0]

    def schema(self, stream: Stream, schema: pa.Schema, key: Sequence[str]) -> pa.Schema:
        """Return the columns of a stream's rows behind the chain, the key in the metadata.

        Raises SchemaError when a transform uses a reserved or a repeated name, or loses a key column.
        """
        self._routes[stream] = route_of(self._steps, stream, schema, key)
        return self._routes[stream].after

    def warnings(self, stream: Stream, schema: pa.Schema) -> list[str]:
        """Return what may stop the pipeline when an update comes without all its values."""
        found = []
        for stage in route_of(self._steps, stream, schema, key_of(schema)).stages if self._mirror else ():
            inputs = stage.step.transform.inputs(stream)
            if inputs is None:
                found.append(f"{stage.step.name} declares no `inputs` for {stream}: {_RISK}")
                continue
            made = [name for name in stage.after.names if name not in {*stage.before.names, *inputs}]
            found += [
                f"{stage.step.name} declares no inputs of {name} for {stream}: {_RISK}" for name in made
            ]
        return found

    def apply(self, batch: Batch) -> tuple[pa.RecordBatch, list[Rejected]]:
        """Return a batch's rows, all reserved columns included, behind the chain, and what was rejected.

        Rows keep their order. Where no step is for the stream the same object is returned.
        Raises PluginError when a transform breaks its contract, SchemaError when a mirror cannot follow.
        """
        stream, rows = cast("Stream", batch.stream), cast("pa.RecordBatch", batch.rows)
        route = self._known_route(stream, rows.schema)
        if not route.stages:
            return rows, []
        flow, deleted = _split(rows, route.before)
        rejected: list[Rejected] = []
        for stage in route.stages if flow.data.num_rows or not deleted else ():
            rejected += self._pass(stage, stream, rows, route.key, flow)
        gone = sorted([*deleted, *self._deletes(rows, flow.dropped)])
        if not gone:
            return self._live(route, stream, rows, flow), rejected
        keys = self._mapped(route, stream, keys_of(rows, gone, route.key))
        removed = deletes(rows, gone, keys, route.after)
        if not flow.data.num_rows:
            return removed, rejected
        live = self._live(route, stream, rows, flow)
        return in_order([live, removed], [flow.origin_of(live.num_rows), gone]), rejected

    def _known_route(self, stream: Stream, schema: pa.Schema) -> Route:
        data = data_columns(schema)
        route = self._routes.get(stream)
        if route is None or not route.takes(data):
            key = [field.name for field in schema.field(OLD_KEY).type]
            self.schema(stream, data, key)
            route = self._routes[stream]
        return route

    def _call(self, stage: Stage, stream: Stream, rows: pa.RecordBatch) -> tuple[object, list[Refusal]]:
        """Apply one transform; return its answer and the rows it rejected."""
        ctx = self._contexts[stage.number]
        ctx.rejections.clear()
        started = time.perf_counter()
        answer = stage.step.transform.apply(ctx, stream, rows)
        self.durations[stage.number] += time.perf_counter() - started
        return answer, list(ctx.rejections)

    def _pass(
        self, stage: Stage, stream: Stream, rows: pa.RecordBatch, key: Sequence[str], flow: _Flow
    ) -> list[Rejected]:
        """Bring `flow` through one transform; return what it rejected."""
        name, before = stage.step.name, flow.data
        given, refusals = self._call(stage, stream, before)
        answer = Answer.of(name, given, before.num_rows, refusals, one_to_one=self._mirror)
        answer.check_columns(name, stage.after)
        kept = before if answer.origin is None else before.take(pa.array(answer.origin, pa.int64()))
        if not stage.step.transform.maps_keys:
            answer.check_keys(name, kept, key)
        self._carry(stage, stream, answer, kept, flow)
        rejected = []
        for indices, code, column in answer.refused:
            lost = with_reserved(before.take(pa.array(indices, pa.int64())), rows, flow.original(indices))
            rejected.append(Rejected(stream, lost, code, column, stage=f"transform:{name}"))
        flow.dropped += flow.original(answer.dropped)
        flow.origin = flow.origin if answer.origin is None else flow.original(answer.origin)
        flow.data = answer.rows
        return rejected

    def _carry(self, stage: Stage, stream: Stream, answer: Answer, kept: pa.RecordBatch, flow: _Flow) -> None:
        if flow.marks is None:
            return
        inputs = stage.step.transform.inputs(stream)
        lineage = Lineage(stage.step.name, stream, inputs, strict=self._mirror)
        lineage.check_dropped(flow.marks, answer.dropped)
        origin = range(kept.num_rows) if answer.origin is None else answer.origin
        flow.marks = lineage.carry([flow.marks[row] for row in origin], kept, answer.rows)

    def _live(self, route: Route, stream: Stream, rows: pa.RecordBatch, flow: _Flow) -> pa.RecordBatch:
        """Return the transformed rows with their reserved columns, old keys mapped."""
        origin = flow.origin_of(flow.data.num_rows)
        had_key = rows.column(OLD_KEY).is_valid()
        moved = (
            [place for place, row in enumerate(origin) if had_key[row].as_py()] if had_key.true_count else []
        )
        keys = self._mapped(route, stream, keys_of(rows, [origin[place] for place in moved], route.key))
        old = old_keys(keys, moved, len(origin))
        return reattach(flow.data, rows, flow.origin, flow.marks, route.after, old)

    def _deletes(self, rows: pa.RecordBatch, dropped: Sequence[int]) -> Sequence[int]:
        """Return the dropped rows that a mirror may have: those that were updates."""
        ops = rows.column(OP)
        return [row for row in dropped if ops[row].as_py() == "u"] if self._mirror else ()

    def _mapped(self, route: Route, stream: Stream, keys: Mapping[str, pa.Array]) -> Mapping[str, pa.Array]:
        """Return keys as the transforms that map keys make them."""
        if not any(len(column) for column in keys.values()):
            return {name: pa.nulls(0, route.after.field(name).type) for name in keys}
        for stage in route.stages:
            if stage.step.transform.maps_keys:
                keys = self._map(stage, stream, keys)
        return keys

    def _map(self, stage: Stage, stream: Stream, keys: Mapping[str, pa.Array]) -> Mapping[str, pa.Array]:
        count = len(next(iter(keys.values())))
        columns = [
            keys[field.name] if field.name in keys else pa.nulls(count, field.type) for field in stage.before
        ]
        rows = pa.RecordBatch.from_arrays(columns, schema=stage.before)
        given, refusals = self._call(stage, stream, rows)
        answer = Answer.of(stage.step.name, given, count, refusals, one_to_one=True)
        answer.check_columns(stage.step.name, stage.after)
        if answer.rows.num_rows != count:
            raise PluginError(
                "a transform that maps keys has left one out",
                "return a row for each of the rows that hold nothing but a key",
                transform=stage.step.name,
                stream=str(stream),
            )
        return {name: answer.rows.column(name) for name in keys}


_RISK = "an update that does not send all its values stops the pipeline where it would have to guess"


def _split(rows: pa.RecordBatch, data: pa.Schema) -> tuple[_Flow, Sequence[int]]:
    """Return the rows that transforms see, and the numbers of those that are deletes."""
    is_delete = pc.equal(rows.column(OP), "d")
    deleted = pc.indices_nonzero(is_delete).to_pylist()
    origin = None
    if deleted:
        origin = pc.indices_nonzero(pc.invert(is_delete)).to_pylist()
    columns = rows.select(data.names)
    marks = rows.column(UNCHANGED)
    if origin is not None:
        taken = pa.array(origin, pa.int64())
        columns, marks = columns.take(taken), marks.take(taken)
    if marks.null_count == len(marks):
        return _Flow(columns, origin, None, []), deleted
    return _Flow(columns, origin, [frozenset(m or ()) for m in marks.to_pylist()], []), deleted
