"""The way of a stream through the transforms that are for it, and what they may do to its columns."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from attrs import frozen

from etl_core.connectors import TransformStep
from etl_core.errors import SchemaError
from etl_core.model import Stream
from etl_core.schema import with_key

__all__ = ["Route", "Stage", "route_of"]

_PREFIX = "_etl_"


@frozen
class Stage:
    """One transform on the way: its number in the chain, the columns before and after it."""

    number: int
    step: TransformStep
    before: pa.Schema
    after: pa.Schema


@frozen
class Route:
    """What the rows of one stream go through."""

    key: tuple[str, ...]
    before: pa.Schema
    after: pa.Schema
    stages: Sequence[Stage]

    def takes(self, schema: pa.Schema) -> bool:
        """Whether rows with these columns go this way."""
        return bool(self.before.names == schema.names and self.before.types == schema.types)


def route_of(steps: Sequence[TransformStep], stream: Stream, schema: pa.Schema, key: Sequence[str]) -> Route:
    """Return the way of a stream. Raises SchemaError when a transform makes columns that cannot be loaded."""
    before = schema = with_key(schema, key)
    stages = []
    for number, step in enumerate(steps):
        if step.applies(stream):
            after = with_key(step.transform.schema(stream, schema), key)
            _check_output(step, stream, schema, after, key)
            stages.append(Stage(number, step, schema, after))
            schema = after
    return Route(tuple(key), before, schema, stages)


def _check_output(
    step: TransformStep, stream: Stream, before: pa.Schema, after: pa.Schema, key: Sequence[str]
) -> None:
    """Raise SchemaError when the columns after a transform cannot be loaded."""
    for name in after.names:
        if name.startswith(_PREFIX):
            hint = f"names that begin with {_PREFIX} are etl-core's"
            raise _refused("a transform makes a column with a reserved name", hint, step, stream, name)
        if after.names.count(name) > 1:
            raise _refused("a transform makes two columns of one name", "rename one", step, stream, name)
    for name in key:
        if name not in after.names:
            hint = "keep the key columns: rows are found by them"
            raise _refused("a transform drops a key column", hint, step, stream, name)
        if not step.transform.maps_keys and after.field(name).type != before.field(name).type:
            hint = "set `maps_keys` on the transform: then deletes and key changes are mapped as well"
            raise _refused("a transform changes the type of a key column", hint, step, stream, name)


def _refused(message: str, hint: str, step: TransformStep, stream: Stream, column: str) -> SchemaError:
    return SchemaError(message, hint, transform=step.name, stream=str(stream), column=column)
