"""YAML to plain values, with the line of each and without YAML 1.1's surprises.

Scalars follow YAML 1.2's core schema: `no` and `on` are text, `12:30` is no number, dates are text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from attrs import Factory, define

from etl_core.document.problems import Found, Place

__all__ = ["Parsed", "parse"]

_SCALARS = {
    "tag:yaml.org,2002:null": (r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    "tag:yaml.org,2002:int": (r"(?:[-+]?[0-9]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    "tag:yaml.org,2002:float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z",
        list("-+.0123456789"),
    ),
}


class _Loader(yaml.SafeLoader):
    """The safe loader with the core schema's scalars."""


_Loader.yaml_implicit_resolvers = {}
for _tag, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"])
_Loader.add_constructor(
    "tag:yaml.org,2002:int", lambda _, node: int(node.value, 16 if node.value.startswith("0x") else 10)
)


@define
class Parsed:
    """A text's value, the line of each place in it, and what is wrong with it as YAML."""

    value: Any = None
    lines: dict[Place, int] = Factory(dict)
    problems: list[Found] = Factory(list)


def parse(text: str) -> Parsed:
    """Parse YAML; whatever is wrong becomes a problem."""
    parsed = Parsed()
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            parsed.value = _Walk(loader, parsed).value(node, (), ())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        parsed.lines[()] = mark.line + 1 if mark else 1
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "a value cannot be read"
        parsed.problems.append(Found((), f"not YAML: {reason}"))
    return parsed


class _Walk:
    """Turns nodes into values."""

    def __init__(self, loader: _Loader, parsed: Parsed) -> None:
        self._loader = loader
        self._parsed = parsed

    def value(self, node: yaml.Node, place: Place, within: tuple[yaml.Node, ...]) -> Any:
        self._parsed.lines.setdefault(place, node.start_mark.line + 1)
        if node in within:
            self._parsed.problems.append(Found(place, "an alias contains itself"))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, (*within, node))
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, (*place, index), (*within, node)) for index, item in enumerate(node.value)
            ]
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, place: Place, within: tuple[yaml.Node, ...]) -> dict[str, Any]:
        self._report_duplicates(node, place)
        self._loader.flatten_mapping(node)
        result = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._parsed.problems.append(Found(place, "a key is not a text"))
                continue
            self._parsed.lines[(*place, key.value)] = key.start_mark.line + 1
            result[key.value] = self.value(value, (*place, key.value), within)
        return result

    def _report_duplicates(self, node: yaml.MappingNode, place: Place) -> None:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                continue
            if key.value in seen:
                hint = f"the first is in line {seen[key.value]}"
                self._parsed.problems.append(Found((*place, key.value), "the key is there twice", hint))
            seen.setdefault(key.value, key.start_mark.line + 1)
