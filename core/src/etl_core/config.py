"""Settings: the types they are made of and the parts of a document that belong to the engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NewType

import attrs
from attrs import field, frozen

__all__ = [
    "BatchPolicy",
    "CommitPolicy",
    "Duration",
    "LoadSettings",
    "Resources",
    "RetryPolicy",
    "SchemaPolicy",
    "Secret",
    "Size",
    "parse_duration",
    "parse_size",
    "setting",
]

#: A number of bytes; in a document also ``8MiB``, ``64kb`` (k, M and G are binary throughout).
Size = NewType("Size", int)
#: A number of seconds; in a document also ``100ms``, ``5s``, ``2m``, ``1h``.
Duration = NewType("Duration", float)

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\Z", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\Z")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Secret:
    """A value that prints as ``***``; `reveal` gives it where a connection is made."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def parse_size(value: int | str) -> Size:
    """Read a size. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return Size(value)
    match = _SIZE.match(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError("not a size: write a number of bytes, or like 64MiB")
    return Size(int(float(match[1]) * 1024 ** "_kmgt".index(match[2].lower() or "_")))


def parse_duration(value: float | str) -> Duration:
    """Read a duration. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Duration(float(value))
    match = _DURATION.match(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError("not a duration: write like 100ms, 5s or 2m")
    return Duration(float(match[1]) * _UNITS[match[2]])


def setting(default: Any = attrs.NOTHING, *, help: str, factory: Any = None, **options: Any) -> Any:
    """Declare a setting of a config class: an attrs field with the sentence that documents it."""
    metadata = {"help": help}
    if factory is not None:
        return field(factory=factory, metadata=metadata, **options)
    return field(default=default, metadata=metadata, **options)


_positive = attrs.validators.gt(0)
_not_negative = attrs.validators.ge(0)


@frozen
class BatchPolicy:
    """When rows of a stream become one write: at whichever limit is reached first."""

    max_rows: int = setting(65536, help="Rows of a batch.", validator=_positive)
    max_bytes: Size = setting(Size(8 << 20), help="Arrow bytes of a batch.", validator=_positive)
    max_wait: Duration = setting(
        Duration(1.0), help="Longest time a row waits for its batch to fill.", validator=_not_negative
    )


@frozen
class CommitPolicy:
    """When written rows are made durable, with their position."""

    max_bytes: Size = setting(Size(64 << 20), help="Arrow bytes between commits.", validator=_positive)
    max_wait: Duration = setting(
        Duration(1.0), help="Longest time a written row waits to be durable.", validator=_not_negative
    )
    whole_transactions: bool = setting(
        False, help="Make only whole source transactions visible, however large they are."
    )


@frozen
class RetryPolicy:
    """How passing failures are retried: exponential backoff with full jitter."""

    attempts: int = setting(
        5, help="Failures in a row without durable progress before the run fails.", validator=_positive
    )
    base: Duration = setting(Duration(0.1), help="First backoff.", validator=_not_negative)
    cap: Duration = setting(Duration(30.0), help="Longest backoff.", validator=_not_negative)


@frozen
class Resources:
    """What a pipeline may use; sizes count retained Arrow buffers."""

    memory: Size = setting(
        Size(256 << 20), help="Arrow bytes held by all stages together.", validator=_positive
    )
    queue: Size = setting(
        Size(32 << 20), help="Arrow bytes waiting between source and load.", validator=_positive
    )
    spill: Path = setting(Path(".etl/spill"), help="Directory for what does not fit into memory.")


Axis = Literal["evolve", "freeze", "discard"]


@frozen
class SchemaPolicy:
    """What happens on each kind of difference between a stream and its table."""

    new_column: Axis = setting("evolve", help="evolve: add it; freeze: stop; discard: leave it out.")
    removed_column: Axis = setting(
        "evolve", help="evolve: keep it, nullable (or drop_columns); freeze: stop; discard: keep it."
    )
    type_change: Axis = setting(
        "evolve", help="evolve: widen; freeze: stop; discard: load the column as null."
    )
    nullability: Axis = setting(
        "evolve", help="evolve: allow nulls; freeze: stop; discard: reject rows with nulls."
    )

    @classmethod
    def uniform(cls, axis: Axis) -> SchemaPolicy:
        """Return the policy that has the same answer on every axis."""
        return cls(axis, axis, axis, axis)


@frozen
class LoadSettings:
    """The settings under `load` that every loader shares."""

    batch: BatchPolicy | None = setting(None, help="When rows become one write; default: the manager's.")
    commit: CommitPolicy = setting(factory=CommitPolicy, help="When writes become durable.")
    schema: SchemaPolicy = setting(factory=SchemaPolicy, help="evolve, freeze, discard, or per axis.")
    on_error: Literal["fail", "skip", "dead-letter"] = setting("fail", help="What happens to rejected rows.")
    on_rewrite: Literal["fail", "resnapshot"] = setting(
        "fail", help="What happens when the source rewrote stored values without sending them."
    )
    drop_columns: bool = setting(False, help="Drop a column that the source dropped.")


#: The keys of each section that are the engine's own; a connector's settings may not use them.
ENGINE_KEYS: Mapping[str, frozenset[str]] = {
    "extract": frozenset({"use"}),
    "transform": frozenset({"use", "streams"}),
    "load": frozenset({"use", *(attribute.name for attribute in attrs.fields(LoadSettings))}),
    "destination": frozenset({"use", "schema"}),
    "observability": frozenset({"use"}),
    "state": frozenset({"use"}),
    "executor": frozenset({"use"}),
    "commands": frozenset(),
}
