"""What `new-plugin` writes: a package for a connector of each kind.

The files below `package` are every kind's, those below `kinds/<kind>` that kind's; both are as they will be
written for the name `acme`, with `.txt` behind theirs, so that no tool takes them for sources of the core.
Words that begin with `$` stand for what differs from kind to kind, or for a text of `pieces` that several
files share.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from attrs import frozen

from etl_core.errors import ConfigError
from etl_core.hookspecs import API, HOOKS

__all__ = ["KINDS", "Kind", "Name", "render", "write"]

_HERE = Path(__file__).parent
_SUFFIX = ".txt"
_DISTRIBUTION = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\Z", re.IGNORECASE)
_PREFIX = "etl-"
#: Longer names would no longer fit on the lines they stand on.
_LONGEST = 36


@frozen
class Kind:
    """A kind of connector: its section of a document, its class, what is written in a line, its needs."""

    section: str
    #: What stands behind `Acme` in the name of its class; a function's name where it is none.
    noun: str
    summary: str
    needs: tuple[str, ...]


_ATTRS, _ARROW, _CLICK = "attrs>=23.2", "pyarrow>=18", "click>=8.1"

KINDS: Mapping[str, Kind] = {
    "source": Kind("extract", "Source", "Rows of the CSV files in a directory.", (_ATTRS, _ARROW)),
    "destination": Kind("destination", "Destination", "Arrow files in a directory.", (_ATTRS, _ARROW)),
    "transform": Kind("transform", "Transform", "Hides the values of columns.", (_ATTRS, _ARROW)),
    "loader": Kind("load", "Loader", "A history with the day of each change.", (_ATTRS, _ARROW)),
    "observer": Kind("observability", "Observer", "Events as lines of JSON.", (_ATTRS,)),
    "state": Kind("state", "StateStore", "State in SQLite files of a directory.", (_ATTRS,)),
    "executor": Kind("executor", "Executor", "Runs each pipeline in a process of its own.", (_ATTRS,)),
    "command": Kind("commands", "command", "Lists what pipeline documents are made of.", (_CLICK,)),
}


@frozen
class Name:
    """How all is called: `etl-acme`, its module `etl_acme`, its connector `acme`, its classes `Acme..`."""

    distribution: str

    @classmethod
    def parse(cls, text: str) -> Name:
        """Read `etl-acme` or `acme`, spelt as distributions may be. Raises ConfigError."""
        if not _DISTRIBUTION.match(text):
            raise ConfigError(
                "this cannot be the name of a distribution",
                "use letters, digits and hyphens, a letter or digit at either end: etl-acme",
                found=text,
            )
        normal = re.sub(r"[-_.]+", "-", text).lower()
        name = cls(normal if normal.startswith(_PREFIX) else _PREFIX + normal)
        if name.distribution == "etl-core":
            raise ConfigError("etl-core is the core itself", "name it after the system it is for: etl-acme")
        if len(name.distribution) > _LONGEST:
            raise ConfigError(
                "the name is too long", f"{_LONGEST} characters at most", found=name.distribution
            )
        return name

    @property
    def module(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def connector(self) -> str:
        return self.distribution.removeprefix(_PREFIX)

    @property
    def stem(self) -> str:
        stem = "".join(word.capitalize() for word in self.connector.split("-"))
        return stem if stem[0].isalpha() else f"Etl{stem}"


def render(name: str, kind: str) -> dict[str, str]:
    """Return the files of a package, by their paths in it. Raises ConfigError for a name that will not do."""
    words = _words(Name.parse(name), kind)
    usage = (_HERE / "kinds" / kind / "usage.md").read_text(encoding="utf-8")
    words["$usage"] = _filled(usage, words)
    templates = sorted(_templates(kind).items())
    return {_filled(path, words): _filled(text, words) for path, text in templates}


def write(directory: Path, name: str, kind: str) -> Path:
    """Write a package into a new directory below `directory`, and return it.

    Raises ConfigError, and writes nothing, when something is there already or it cannot be written.
    """
    files = render(name, kind)
    package = directory / Name.parse(name).distribution
    try:
        if package.exists() and (not package.is_dir() or any(package.iterdir())):
            raise ConfigError(
                "something is there already",
                "choose another name or --directory; nothing was written",
                path=package,
            )
        _write(package, files)
    except OSError as error:
        raise ConfigError(
            "the package cannot be written",
            "choose a --directory that you may write to, on a disk with room",
            path=package,
            cause=error.strerror,
        ) from error
    return package


def _write(package: Path, files: Mapping[str, str]) -> None:
    """Write everything beside it first, so that the package is there whole or not at all."""
    unfinished = package.with_name(f".{package.name}-{uuid.uuid4().hex}")
    try:
        for path, text in files.items():
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_text(text, encoding="utf-8", newline="\n")
        if package.exists():
            package.rmdir()
        unfinished.rename(package)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _filled(text: str, words: Mapping[str, str]) -> str:
    """Return a text with every word of `words` replaced, the longest that fits first."""
    pattern = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    return re.sub(pattern, lambda match: words[match[0]], text)


def _words(name: Name, kind: str) -> dict[str, str]:
    """Return what stands for what in the templates of a kind."""
    facts = KINDS[kind]
    noun = facts.noun if facts.noun.islower() else name.stem + facts.noun
    dependencies = sorted((*facts.needs, f"etl-core{_range()}"))
    return {
        "etl-acme": name.distribution,
        "etl_acme": name.module,
        "acme": name.connector,
        "Acme": name.stem,
        "$kind": kind,
        "$section": facts.section,
        "$hook": HOOKS[facts.section],
        "$factory": f"{name.module}.{kind}:{noun}",
        "$summary": facts.summary,
        "$dependencies": ", ".join(f'"{each}"' for each in dependencies),
        "$api": str(API),
        **{
            f"${piece.stem}": piece.read_text(encoding="utf-8").rstrip()
            for piece in _HERE.glob("pieces/*.txt")
        },
    }


def _range() -> str:
    """Return the versions of the core that a package written now is for: this minor one and the next."""
    major, minor = map(int, version("etl-core").split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 2}"


def _templates(kind: str) -> dict[str, str]:
    """Return the templates of a kind by their paths; its own take the place of those of every kind."""
    found: dict[str, str] = {}
    for root in (_HERE / "package", _HERE / "kinds" / kind):
        for file in root.rglob(f"*{_SUFFIX}"):
            path = file.relative_to(root).as_posix().removesuffix(_SUFFIX)
            found[path] = file.read_text(encoding="utf-8")
    return found
