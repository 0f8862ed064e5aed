"""A document after reading: engine settings typed, connector settings still plain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import field, frozen

from etl_core.config import LoadSettings, Resources, RetryPolicy, setting
from etl_core.document.problems import Place

__all__ = ["SHAPES", "Document", "Section", "Top", "Use"]

#: Names become parts of paths: `.` and `..` must not be among them.
_NAME = re.compile(r"(?!\.+\Z)[A-Za-z0-9_.-]{1,64}\Z")


@frozen
class Section:
    """A connector as a document names it: `use` under `section`, and its own settings, expanded.

    `place` is where it stands in the document. `streams` are the patterns of a transform.
    """

    section: str
    place: Place
    use: str
    settings: Mapping[str, Any] = field(factory=dict, repr=False)
    streams: tuple[str, ...] = ("*",)


@frozen(kw_only=True)
class Document:
    """A pipeline document. `raw` is what was written, with no variable expanded: no secret is in it."""

    pipeline: str
    extract: Section
    transform: tuple[Section, ...]
    load: Section
    load_settings: LoadSettings
    destination: Section
    #: A namespace for every stream, or target names by stream.
    destination_schema: str | Mapping[str, str] | None
    observability: tuple[Section, ...]
    state: Section
    retry: RetryPolicy
    resources: Resources
    once: bool
    #: Where relative paths start.
    base: Path
    #: The file it was read from.
    path: Path | None
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def sections(self) -> tuple[Section, ...]:
        """Every connector the document names."""
        single = (self.extract, self.load, self.destination, self.state)
        return (*single, *self.transform, *self.observability)

    def to_json(self, *, once: bool = False) -> dict[str, Any]:
        """Return a mapping that `load_document` reads as the same document anywhere on this machine.

        Variables are expanded again where it is read.
        """
        return {**self.raw, "base_directory": str(self.base), "once": self.once or once}


def _named(instance: object, attribute: object, value: str) -> None:
    if not _NAME.match(value):
        raise ValueError("must be 1 to 64 letters, digits, '_', '.' or '-', and not only dots")


@frozen(kw_only=True)
class Use:
    """What every section says: which connector."""

    use: str = setting(help="The connector's name; `etl-core list-plugins` shows all.")


@frozen(kw_only=True)
class UseTransform(Use):
    streams: Sequence[str] = setting(("*",), help="Patterns of the streams it is applied to.")


@frozen(kw_only=True)
class UseDestination(Use):
    schema: str | Mapping[str, str] | None = setting(
        None, help="Where streams land: a namespace for all, or a target name per stream."
    )


@frozen(kw_only=True)
class Top:
    """The top level of a document."""

    version: Literal[1] = setting(help="The version of the document's format.")
    pipeline: str = setting(
        help="The pipeline's name: 1 to 64 letters, digits, '_', '.' or '-'.", validator=_named
    )
    extract: Mapping[str, Any] = setting(help="The source.")
    transform: Sequence[Any] = setting((), help="Transforms, in order.")
    load: Mapping[str, Any] = setting(help="How rows are written.")
    destination: Mapping[str, Any] = setting(help="Where rows go.")
    observability: Sequence[Any] = setting((), help="Observers of the run.")
    state: Mapping[str, Any] = setting({"use": "sqlite"}, help="Where positions are kept.")
    retry: RetryPolicy = setting(factory=RetryPolicy, help="How passing failures are retried.")
    resources: Resources = setting(factory=Resources, help="What the pipeline may use.")
    once: bool = setting(False, help="End when the source's end as of the start is reached.")
    base_directory: Path | None = setting(
        None, help="Where relative paths start; without it, the document's directory."
    )


#: The engine's own settings of each section; what is left there belongs to the connector.
SHAPES: Mapping[str, type[Use]] = {
    "extract": Use,
    "transform": UseTransform,
    "load": Use,
    "destination": UseDestination,
    "observability": Use,
    "state": Use,
}
