"""Identifiers: Snowflake's are case-sensitive once folded, DuckDB's never are.

A physical name spells every lower-case letter `^A` and a caret `^^`, so that `"landing_x"` and `LANDING_X`
are two tables, and so that what DuckDB answers can be turned back.
"""

from __future__ import annotations

import re

LONGEST = 255

_PLAIN = re.compile(r"[A-Z_][A-Z0-9_$]*\Z")
_LOWER = re.compile(r"[a-z^]")
_MARKED = re.compile(r"\^(.)")
_PART = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([A-Za-z_][\w$]*))\s*(\.|\Z)')


def fold(text: str, *, quoted: bool) -> str:
    """Give the name that an identifier stands for: as written in quotes, upper case without."""
    return text if quoted else text.upper()


def physical(name: str) -> str:
    """Spell a name so that no other name equals it when case is ignored."""
    return _LOWER.sub(lambda found: "^" + found[0].upper(), name)


def logical(name: str) -> str:
    """Undo `physical`."""
    return _MARKED.sub(lambda found: "^" if found[1] == "^" else found[1].lower(), name)


def shown(name: str) -> str:
    """Write a name as Snowflake does in messages: in quotes only where they are needed."""
    return name if _PLAIN.match(name) else '"' + name.replace('"', '""') + '"'


def dotted(*names: str) -> str:
    """Write a qualified name as in messages."""
    return ".".join(shown(name) for name in names)


def duck(*names: str) -> str:
    """Quote physical names for DuckDB."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def split(text: str) -> list[str]:
    """Take a dotted identifier apart and fold its parts.

    Raises ValueError where it is none.
    """
    parts: list[str] = []
    position = 0
    while True:
        found = _PART.match(text, position)
        if found is None:
            raise ValueError(text)
        parts.append(found[2].upper() if found[1] is None else found[1].replace('""', '"'))
        position = found.end()
        if not found[3]:
            return parts
