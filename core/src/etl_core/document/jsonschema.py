"""JSON Schema of documents and settings, from the same classes that reading uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import attrs

from etl_core.config import Duration, LoadSettings, SchemaPolicy, Secret, Size
from etl_core.document.containers import MAPPINGS, SEQUENCES, is_enum, is_union
from etl_core.document.fields import hints_of, keys_of
from etl_core.document.model import SHAPES, Top

__all__ = ["class_schema", "default_of", "document_schema", "type_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE = {"type": "string", "pattern": r"\$\{"}
_SIZE = r"^\d+(\.\d+)?\s*([kKmMgGtT]?)([iI]?[bB])?$"
_DURATION = r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$"
_SCALARS: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    Path: {"type": "string"},
    Secret: {"type": "string"},
    int: {"anyOf": [{"type": "integer"}, _VARIABLE]},
    float: {"anyOf": [{"type": "number"}, _VARIABLE]},
    bool: {"anyOf": [{"type": "boolean"}, _VARIABLE]},
    Size: {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _SIZE}, _VARIABLE]},
    Duration: {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _DURATION}, _VARIABLE]},
    type(None): {"type": "null"},
}


def document_schema(connectors: Mapping[str, Iterable[tuple[str, type[Any] | None, str]]]) -> dict[str, Any]:
    """Return the schema of a document.

    `connectors` holds name, config class and summary of what each section may use.
    """
    schema = class_schema(Top)
    for section, offers in connectors.items():
        one = {"oneOf": [_use(section, *offer) for offer in offers]}
        many = schema["properties"][section].get("type") == "array"
        described = {"description": schema["properties"][section]["description"]}
        schema["properties"][section] = described | ({"type": "array", "items": one} if many else one)
    return {"$schema": _DRAFT, "title": "A pipeline document of etl-core", **schema}


def _use(section: str, name: str, config: type[Any] | None, summary: str) -> dict[str, Any]:
    """Return the schema of a section that uses the connector `name`."""
    parts = [class_schema(SHAPES[section])]
    parts += [class_schema(LoadSettings)] if section == "load" else []
    parts += [class_schema(config)] if config is not None else []
    properties = {key: value for part in parts for key, value in part["properties"].items()}
    required = [key for part in parts for key in part.get("required", [])]
    properties["use"] = {"const": name, "description": summary}
    return _object(properties, required)


def class_schema(cls: type[Any]) -> dict[str, Any]:
    """Return the schema of a config class."""
    hints = hints_of(cls)
    properties = {}
    for key, attribute in keys_of(cls).items():
        properties[key] = type_schema(hints.get(attribute.name, Any))
        if help_text := attribute.metadata.get("help"):
            properties[key] = {**properties[key], "description": help_text}
        if (default := default_of(attribute)) is not None:
            properties[key] = {**properties[key], "default": default}
    required = [key for key, attribute in keys_of(cls).items() if attribute.default is attrs.NOTHING]
    return _object(properties, required)


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def type_schema(kind: Any) -> dict[str, Any]:
    """Return the schema of a setting's type."""
    origin = get_origin(kind) or kind
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind is SchemaPolicy:
        return {"anyOf": [type_schema(hints_of(kind)["new_column"]), class_schema(kind)]}
    if origin is Literal:
        return {"enum": list(get_args(kind))}
    if is_union(kind):
        return {"anyOf": [type_schema(option) for option in get_args(kind)]}
    if origin in SEQUENCES:
        return {"type": "array", "items": type_schema((get_args(kind) or (Any,))[0])}
    if origin in MAPPINGS:
        return {"type": "object", "additionalProperties": type_schema((get_args(kind) or (str, Any))[1])}
    if is_enum(kind):
        return {"enum": [member.value for member in kind]}
    if attrs.has(origin):
        return class_schema(kind)
    return {}


def default_of(attribute: attrs.Attribute[Any]) -> Any:
    """Return a setting's default as a document would say it; None when it has none to show."""
    default = attribute.default
    if default is attrs.NOTHING or isinstance(default, Secret) or hasattr(default, "factory"):
        return None
    if isinstance(default, Path):
        return str(default)
    return list(default) if isinstance(default, tuple | frozenset | set) else default
