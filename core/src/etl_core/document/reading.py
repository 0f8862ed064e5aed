"""From a file or a mapping to a document, as far as the engine's own settings go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field

from etl_core.config import ENGINE_KEYS, LoadSettings
from etl_core.document.expand import Expander, read_dotenv
from etl_core.document.fields import keys_of
from etl_core.document.model import SHAPES, Document, Section, Top
from etl_core.document.problems import Found, Place, Problems
from etl_core.document.scalars import describe
from etl_core.document.structure import partly
from etl_core.document.yamltext import parse
from etl_core.errors import ConfigError

__all__ = ["Draft", "Written", "expanded", "read"]


@define
class Draft:
    """A document being read: what is right so far, and every problem.

    `sections` are there as far as their `use` is known, whatever else is wrong.
    """

    problems: Problems
    base: Path
    sections: list[Section] = field(factory=list)
    parts: dict[str, Any] = field(factory=dict, repr=False)

    def document(self) -> Document:
        """Return the document. Raises ConfigError with every problem found."""
        self.problems.raise_if_any()
        return Document(base=self.base, **self.parts)


@define
class Written:
    """What a file or mapping says: `raw` as written, `value` with its variables expanded."""

    path: Path | None
    base: Path
    raw: Any = field(repr=False)
    value: Any = field(repr=False)
    problems: Problems


def read(source: str | Path | Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Draft:
    """Read a document from the file of that path, or as a mapping.

    Variables come from `environ` (default: the process's), then from `.env` beside the document; a
    mapping is beside nothing unless it has a `base_directory`.
    Raises ConfigError when the file cannot be read; all else becomes a problem of the draft.
    """
    written = expanded(source, environ)
    draft = Draft(written.problems, written.base)
    if isinstance(written.value, Mapping):
        _fill(draft, written.value, written.path, written.raw)
    elif not draft.problems.found:
        draft.problems.add(Found((), f"expected a mapping of settings, found {describe(written.value)}"))
    return draft


def expanded(source: str | Path | Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Written:
    """Read what a document, or a file of settings alone, says; see `read` for its variables."""
    path = None if isinstance(source, Mapping) else Path(source)
    problems = Problems(str(path) if path else None)
    raw = source if isinstance(source, Mapping) else _parsed(Path(source), problems)
    base = _base(raw, path)
    dotenv: dict[str, str] = {}
    if path or (isinstance(raw, Mapping) and "base_directory" in raw):
        dotenv, found = read_dotenv(base / ".env")
        problems.extend(found)
    expander = Expander({**dotenv, **(os.environ if environ is None else environ)}, base)
    value = expander.value(raw)
    problems.extend(expander.problems)
    problems.settled = {found.place for found in expander.problems}
    return Written(path, base, raw, value, problems)


def _parsed(path: Path, problems: Problems) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("the document cannot be read", document=str(path), reason=error.strerror) from error
    except UnicodeDecodeError as error:
        raise ConfigError("the document is not UTF-8 text", document=str(path)) from error
    parsed = parse(text)
    problems.lines = parsed.lines
    problems.extend(parsed.problems)
    return parsed.value


def _base(raw: Any, path: Path | None) -> Path:
    beside = path.absolute().parent if path else Path.cwd()
    named = raw.get("base_directory") if isinstance(raw, Mapping) else None
    return beside / named if isinstance(named, str) else beside


def _fill(draft: Draft, value: Mapping[str, Any], path: Path | None, raw: Mapping[str, Any]) -> None:
    right, found = partly(value, Top, draft.base)
    draft.problems.extend(found)
    defaults = {name: attribute.default for name, attribute in attrs.fields_dict(Top).items()}
    top = {name: given for name, given in (defaults | right).items() if given is not attrs.NOTHING}
    simple = {name: top[name] for name in ("pipeline", "retry", "resources", "once") if name in top}
    draft.parts |= simple | {"path": path, "raw": raw}
    for name in SHAPES:
        _connectors(draft, name, top.get(name))


def _connectors(draft: Draft, name: str, value: Any) -> None:
    """Read a section: one connector, or a list of them."""
    if isinstance(value, Mapping):
        draft.parts[name] = _connector(draft, name, (name,), value)
    elif value is not None:
        made = [_connector(draft, name, (name, index), item) for index, item in enumerate(value)]
        draft.parts[name] = tuple(made)


def _connector(draft: Draft, name: str, place: Place, value: Any) -> Section | None:
    """Take the engine's settings out of a section; the rest is the connector's."""
    if not isinstance(value, Mapping):
        draft.problems.add(Found(place, f"expected a mapping of settings, found {describe(value)}"))
        return None
    own = {key: item for key, item in value.items() if key in ENGINE_KEYS[name]}
    rest = {key: item for key, item in value.items() if key not in own}
    engine = _structured(
        draft, {key: own.pop(key) for key in keys_of(SHAPES[name]) if key in own}, SHAPES[name], place
    )
    if name == "load":
        draft.parts["load_settings"] = LoadSettings(**_structured(draft, own, LoadSettings, place))
    if name == "destination":
        draft.parts["destination_schema"] = engine.get("schema")
    if "use" not in engine:
        return None
    section = Section(name, place, engine["use"], rest, tuple(engine.get("streams", ("*",))))
    draft.sections.append(section)
    return section


def _structured(draft: Draft, value: Mapping[str, Any], cls: type[Any], place: Place) -> dict[str, Any]:
    right, found = partly(value, cls, draft.base)
    draft.problems.extend(one.under(*place) for one in found)
    return right
