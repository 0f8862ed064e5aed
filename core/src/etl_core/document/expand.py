"""`${NAME}` and `${file:PATH}` in texts, and the `.env` beside the document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define

from etl_core.document.problems import Found, Invalid, Place

__all__ = ["Expanded", "Expander", "read_dotenv"]

_REFERENCE = re.compile(r"\$(?P<escape>\$\{)|\$\{(?:file:(?P<file>[^}]+)|(?P<name>[A-Za-z_]\w*))\}|\$\{")
_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>.*)\Z")
_QUOTED = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?\Z""")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Expanded(str):
    """A text that came out of an expansion; `source` is what the document says, safe to show."""

    __slots__ = ("source",)
    source: str

    @classmethod
    def of(cls, text: str, source: str) -> Expanded:
        value = cls(text)
        value.source = source
        return value


@define
class Expander:
    """Expands a document's texts; files are relative to `base`."""

    environ: Mapping[str, str]
    base: Path
    problems: list[Found] = Factory(list)

    def value(self, value: Any, place: Place = ()) -> Any:
        """Return `value` with every text in it expanded; what cannot be is a problem and stays."""
        if isinstance(value, dict):
            return {key: self.value(item, (*place, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*place, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._text(value, place)
        return value

    def _text(self, text: str, place: Place) -> str:
        def one(match: re.Match[str]) -> str:
            try:
                return self._one(match)
            except Invalid as error:
                self.problems += [found.under(*place) for found in error.found]
                return match[0]

        expanded = _REFERENCE.sub(one, text)
        only_escapes = not any(match["escape"] is None for match in _REFERENCE.finditer(text))
        return expanded if only_escapes else Expanded.of(expanded, text)

    def _one(self, match: re.Match[str]) -> str:
        if match["escape"]:
            return match["escape"]
        if match["file"]:
            return self._file(match["file"])
        if not match["name"]:
            raise Invalid.here(
                "a variable is not written as ${NAME} or ${file:PATH}", "write $${ for the characters ${"
            )
        if match["name"] not in self.environ:
            raise Invalid.here(
                f"the variable {match['name']} is not set",
                "set it in the environment, or in .env beside the document",
            )
        return self.environ[match["name"]]

    def _file(self, path: str) -> str:
        try:
            return (self.base / Path(path).expanduser()).read_text(encoding="utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise Invalid.here(f"the file {path} is not UTF-8 text") from None
        except OSError as error:
            raise Invalid.here(f"the file {path} cannot be read: {error.strerror}") from None


def read_dotenv(path: Path) -> tuple[dict[str, str], list[Found]]:
    """Read `NAME=value` lines (quotes, comments and `export` allowed); no file is an empty one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [Found((), f"{path.name} cannot be read: {type(error).__name__}")]
    values: dict[str, str] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if match := _LINE.match(line.strip()):
            values[match["name"]] = _unquoted(match["value"])
        else:
            problems.append(Found((), f"line {number} of {path.name} is not NAME=value"))
    return values, problems


def _unquoted(text: str) -> str:
    if match := _QUOTED.match(text):
        if match[1] is None:
            return match[2]
        return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), match[1])
    return re.sub(r"(?:^|\s+)#.*", "", text)
