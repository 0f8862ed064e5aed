"""What is done with a pipeline besides running it: check, discover, sample, lag, reset, teardown."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from etl_core.engine.observing import HubMetrics, ObserverHub
from etl_core.engine.pipeline import Pipeline
from etl_core.engine.preflight import require_compatible, require_finite, require_streams
from etl_core.engine.scope import EngineContext, Scope
from etl_core.engine.stages import stage
from etl_core.engine.transforming import TransformChain
from etl_core.errors import EtlError
from etl_core.interfaces import Context, Source
from etl_core.model import RESERVED, Batch, Lag, Mode, Stream, StreamInfo
from etl_core.result import CheckResult
from etl_core.schema import add_reserved, with_key

if TYPE_CHECKING:
    from etl_core.resolve import Connectors

__all__ = ["check", "discover", "lag", "reset", "sample", "teardown"]

_JOIN = 10.0


@contextmanager
def _context(pipeline: str) -> Iterator[Context]:
    """Give connectors a context outside a run."""
    scope = Scope(pipeline)
    hub = ObserverHub(pipeline, ())
    try:
        yield EngineContext(
            pipeline=pipeline,
            connector="check",
            scope=scope,
            hub=hub,
            metrics=HubMetrics(hub),
            spill=Path(tempfile.gettempdir()),
        )
    finally:
        scope.stop()
        scope.join(_JOIN)
        hub.close(_JOIN)


def check(connectors: Connectors) -> CheckResult:
    """Validate and connect everything; change nothing (the state store writes and rolls back)."""
    pipeline = Pipeline.of(connectors)
    with _context(connectors.name) as ctx:
        infos: list[StreamInfo] = []

        def source() -> None:
            connectors.source.check(ctx)
            infos.extend(connectors.source.streams(ctx))
            require_streams(connectors.loader, connectors.destination, infos, pipeline.target)
            if connectors.loader.snapshot_only:
                require_finite(connectors.loader, connectors.source.latest(ctx))

        def destination() -> None:
            require_compatible(connectors.loader, connectors.destination)
            connectors.destination.check(ctx)

        found = _outcome("source", source)
        landed = _outcome("destination", destination)
        transforms, warnings = _check_transforms(connectors, infos, ctx)
        loads = _outcome("load", lambda: _check_load(connectors, infos, ctx)) if not any(transforms) else None
        state = _outcome("state", connectors.state.check)
        connectors.source.close()
        connectors.destination.close()
    return CheckResult(connectors.name, found or loads, landed, transforms, state, warnings)


def _outcome(name: str, call: Callable[[], None]) -> str | None:
    """Return what went wrong, for people to read."""
    try:
        with stage(name):
            call()
    except EtlError as error:
        return f"{error}\n  {error.hint}" if error.hint else str(error)
    return None


def _check_transforms(
    connectors: Connectors, infos: Sequence[StreamInfo], ctx: Context
) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    outcomes: list[str | None] = []
    warnings: list[str] = []
    for number in range(len(connectors.transforms)):
        chain = _chain(connectors, ctx, number + 1)

        def schemas(chain: TransformChain = chain) -> None:
            for info in infos:
                _behind(chain, info)

        outcomes.append(_outcome("transform", schemas))
    if connectors.transforms and not any(outcomes):
        chain = _chain(connectors, ctx, len(connectors.transforms))
        for info in infos:
            warnings += chain.warnings(info.stream, info.schema)
    return tuple(outcomes), tuple(warnings)


def _check_load(connectors: Connectors, infos: Sequence[StreamInfo], ctx: Context) -> None:
    chain = _chain(connectors, ctx, len(connectors.transforms))
    for info in infos:
        schema = _behind(chain, info)
        table = connectors.loader.schema(info.stream, schema)
        for column in table.columns:
            connectors.destination.stored(column.type)


def _chain(connectors: Connectors, ctx: Context, steps: int) -> TransformChain:
    mirror = Mode.APPEND not in connectors.loader.needs
    return TransformChain(connectors.transforms[:steps], lambda name: ctx, mirror=mirror)


def _behind(chain: TransformChain, info: StreamInfo) -> pa.Schema:
    """Return a stream's schema as the transforms leave it."""
    return chain.schema(info.stream, with_key(info.schema, info.key), info.key)


@contextmanager
def _source(connectors: Connectors) -> Iterator[Context]:
    """Give the source a context, and close the source at the end."""
    with _context(connectors.name) as ctx, closing(connectors.source):
        yield ctx


def discover(connectors: Connectors) -> Sequence[StreamInfo]:
    """List the source's streams."""
    with _source(connectors) as ctx:
        return list(connectors.source.streams(ctx))


def sample(connectors: Connectors, stream: Stream, n: int) -> pa.Table:
    """Return up to `n` rows of a stream as they would be loaded: transforms applied, nothing written."""
    with _source(connectors) as ctx:
        infos = {info.stream: info for info in connectors.source.streams(ctx)}
        rows = connectors.source.sample(ctx, stream, n)
        return _transformed(connectors, ctx, infos.get(stream) or StreamInfo(stream, rows.schema), rows)


def _transformed(connectors: Connectors, ctx: Context, info: StreamInfo, rows: pa.Table) -> pa.Table:
    chain = _chain(connectors, ctx, len(connectors.transforms))
    chain.open()
    try:
        schema = _behind(chain, info)
        batches = [
            chain.apply(Batch.of(info.stream, add_reserved(batch, info.key, "r")))[0]
            for batch in rows.to_batches()
        ]
    finally:
        chain.close()
    if not batches:
        return schema.empty_table()
    return pa.Table.from_batches(batches).drop_columns(list(RESERVED))


def lag(pipeline: str, source: Source, value: Any) -> Lag | None:
    """Ask a source how far its system is ahead of a position value, and close it; None: it has no lag."""
    with _context(pipeline) as ctx, closing(source), stage("source"):
        return source.lag(ctx, value)


def reset(connectors: Connectors) -> list[str]:
    """Forget the pipeline: the destination's position, then the store's, then what the source created.

    The next run starts at a new epoch. Returns what was done, for people to read.
    """
    fence = connectors.state.claim(connectors.name)
    try:
        done = []
        if connectors.destination.keeps_position:
            done += _reset_destination(connectors, fence)
        connectors.state.clear(fence)
        done.append("position and history cleared in the state store")
        return done + teardown(connectors)
    finally:
        connectors.state.release(fence)


def _reset_destination(connectors: Connectors, fence: str) -> list[str]:
    with _context(connectors.name) as ctx, closing(connectors.destination) as destination:
        destination.open(ctx, fence)
        destination.set_position(None)
    return ["position cleared in the destination"]


def teardown(connectors: Connectors) -> list[str]:
    """Remove what the source created in its system."""
    with _source(connectors) as ctx:
        return list(connectors.source.teardown(ctx))
