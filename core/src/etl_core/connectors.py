"""The connectors of one pipeline, each made when it is first used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Generic, TypeVar

from attrs import define, field

from etl_core.config import LoadSettings, Resources, RetryPolicy
from etl_core.interfaces import Destination, Loader, Observer, Source, StateStore, Transform
from etl_core.model import Stream

__all__ = ["Connectors", "Part", "TransformStep"]

T = TypeVar("T")


class Part(Generic[T]):
    """Something made at its first use; `seconds` is how long that took, import included."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self.seconds = 0.0

    @property
    def made(self) -> bool:
        """Whether it was used."""
        return bool(self._made)

    def get(self) -> T:
        """Return it. Raises PluginError or ConfigError, at every call, when it cannot be made."""
        if not self._made:
            started = time.perf_counter()
            self._made.append(self._make())
            self.seconds = time.perf_counter() - started
        return self._made[0]


def part_of(value: Any) -> Part[Any]:
    """Return a part for an object that is there already; a part as it is."""
    return value if isinstance(value, Part) else Part(lambda: value)


def _parts(pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, Part[Any]]]:
    return [(name, part_of(one)) for name, one in pairs]


@define
class TransformStep:
    """A transform and the streams it is for: those whose text fits one of the patterns."""

    name: str
    _transform: Part[Transform] = field(converter=part_of)
    streams: Sequence[str] = ("*",)

    @property
    def transform(self) -> Transform:
        return self._transform.get()

    @property
    def load_seconds(self) -> float:
        return self._transform.seconds

    def applies(self, stream: Stream) -> bool:
        """Say whether rows of `stream` go through this transform."""
        return any(fnmatchcase(str(stream), pattern) for pattern in self.streams)


@define(kw_only=True)
class Connectors:
    """What a pipeline is made of. Objects may be given as they are, or as parts made when first used."""

    name: str
    _source: Part[Source] = field(converter=part_of)
    _destination: Part[Destination] = field(converter=part_of)
    _loader: Part[Loader] = field(converter=part_of)
    _state: Part[StateStore] = field(converter=part_of)
    loader_name: str = ""
    transforms: list[TransformStep] = field(factory=list)
    _observers: list[tuple[str, Part[Observer]]] = field(factory=list, converter=_parts)
    load: LoadSettings = field(factory=LoadSettings)
    retry: RetryPolicy = field(factory=RetryPolicy)
    resources: Resources = field(factory=Resources)
    #: A namespace for every stream, or target names by stream.
    destination_schema: str | Mapping[str, str] | None = None
    base: Path = field(factory=Path.cwd)

    @property
    def source(self) -> Source:
        return self._source.get()

    @property
    def destination(self) -> Destination:
        return self._destination.get()

    @property
    def loader(self) -> Loader:
        return self._loader.get()

    @property
    def state(self) -> StateStore:
        return self._state.get()

    @property
    def observers(self) -> list[tuple[str, Observer]]:
        return [(name, part.get()) for name, part in self._observers]

    def close_state(self) -> None:
        """Close the state store if it was used. A run closes the other connectors."""
        if self._state.made:
            self.state.close()

    @property
    def source_load(self) -> float:
        """Seconds the source took to import and construct; 0 before its first use."""
        return self._source.seconds

    @property
    def destination_load(self) -> float:
        """Seconds the destination took to import and construct; 0 before its first use."""
        return self._destination.seconds
