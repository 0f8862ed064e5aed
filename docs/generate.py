"""Writes the reference pages from the code: hooks, interfaces, settings, events, errors, commands.

A Sphinx extension; `pages()` is what tests look at.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from etl_core import config, errors, events, hookspecs, interfaces, model, result, testing
from etl_core.cli.app import app
from etl_core.document.model import Top
from etl_core.plugins import installed
from etl_core.testing.certify.kits import KITS, plain_kit
from etl_core.testing.clauses import Clause, clauses_of
from etl_core.testing.common import CommonClauses

OUTPUT = Path(__file__).parent / "reference" / "generated"
SECTIONS = ("extract", "transform", "load", "destination", "observability", "state", "executor")
ENGINE_SETTINGS = (
    ("The top level", Top),
    ("Under `load`", config.LoadSettings),
    ("`load.batch`", config.BatchPolicy),
    ("`load.commit`", config.CommitPolicy),
    ("`load.schema`", config.SchemaPolicy),
    ("`retry`", config.RetryPolicy),
    ("`resources`", config.Resources),
)


def pages() -> dict[str, str]:
    """Return every generated page by file name."""
    return {
        "hooks.md": "\n".join(hooks()),
        "interfaces.md": "\n".join(classes("Interfaces", interfaces)),
        "model.md": "\n".join(classes("Data model", model)),
        "results.md": "\n".join(classes("Results", result)),
        "document.md": "\n".join(document()),
        "connectors.md": "\n".join(connectors()),
        "events.md": "\n".join(event_table()),
        "errors.md": "\n".join(error_table()),
        "commands.md": "\n".join(commands()),
        "conformance.md": "\n".join(conformance()),
    }


def hooks() -> Iterator[str]:
    """Describe every hook with its exact signature."""
    yield from ("# Signatures of hooks, registrations", "", _doc(hookspecs), "")
    for section, name in hookspecs.HOOKS.items():
        hook = getattr(hookspecs, name)
        place = f"Section or role: `{section}`. [Its page](../hooks/{section}.md)."
        yield from (f"## `{name}`", "", place, "")
        yield from ("```python", f"def {name}{_signature(hook)}", "```", "", _doc(hook), "")
    yield from _class(hookspecs.Registration)


def classes(title: str, module: Any) -> Iterator[str]:
    """Describe every public class of a module with its methods."""
    yield from (f"# {title}", "", _doc(module), "")
    for name in module.__all__:
        if inspect.isclass(getattr(module, name)):
            yield from _class(getattr(module, name))


def _class(cls: type[Any]) -> Iterator[str]:
    yield from (f"## `{cls.__name__}`", "", _doc(cls), "")
    if attrs.has(cls):
        yield from ("| field | type |", "|---|---|")
        yield from (f"| `{each.name}` | {_code(each.type)} |" for each in attrs.fields(cls))
        yield ""
    for name, method in vars(cls).items():
        if not name.startswith("_") and inspect.isfunction(method) and inspect.getdoc(method):
            yield from (f"### `{name}`" + " {#" + f"{cls.__name__}.{name}".lower() + "}", "")
            yield from ("```python", f"def {name}{_signature(method)}", "```", "", _doc(method), "")


def document() -> Iterator[str]:
    """Describe the settings that belong to the engine."""
    yield from ("# The document", "", "The settings that every pipeline has, whatever its connectors.", "")
    for title, cls in ENGINE_SETTINGS:
        yield from (f"## {title}", "", _doc(cls), "", *_settings(cls), "")


def connectors() -> Iterator[str]:
    """Describe every installed connector's settings."""
    yield from ("# Connectors", "", "The settings of every connector of this repository.", "")
    for section in SECTIONS:
        yield from (f"## `{section}`", "")
        for registration, status in installed().connectors(section):
            yield from (
                f"### `{registration.name}`",
                "",
                f"{registration.summary} ({status.distribution})",
                "",
            )
            if registration.config is not None:
                yield from (_doc(registration.config), "", *_settings(registration.config), "")


def _settings(cls: type[Any]) -> Iterator[str]:
    fields = attrs.fields(cls)
    if not fields:
        return
    yield from ("| setting | type | default | |", "|---|---|---|---|")
    for each in fields:
        sentence = each.metadata.get("help", "").replace("|", "\\|").replace("<", "\\<")
        yield f"| `{each.alias}` | {_code(each.type)} | {_default(each.default)} | {sentence} |"


def _default(default: Any) -> str:
    if default is attrs.NOTHING:
        return "required"
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        made = default.factory
        return "see below" if attrs.has(made) else _code(repr(made()))
    return _code("null" if default is None else str(default))


def event_table() -> Iterator[str]:
    """Describe every event."""
    yield from ("# Events", "", _doc(events), "", "| event | facts |", "|---|---|")
    yield from (f"| `{name}` | {facts} |" for name, facts in events.EVENTS.items())


def error_table() -> Iterator[str]:
    """Describe every error with the exit code it ends the command line with."""
    yield from ("# Errors", "", "```text", _doc(errors), "```", "")
    for name in errors.__all__:
        cls = getattr(errors, name)
        code = getattr(cls, "exit_code", None)
        yield from (f"## `{name}`", "", _doc(cls), "")
        if isinstance(code, int):
            yield from (f"Exit code {code}.", "")


def commands() -> Iterator[str]:
    """Describe every command as `--help` does."""
    yield from ("# Commands", "")
    yield from _command("etl-core", app)


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path, terminal_width=100)
    yield from (f"## `{path}`", "", "```text", command.get_help(context).strip(), "```", "")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _command(f"{path} {name}", child)


def conformance() -> Iterator[str]:
    """Describe every clause of every kit: what is promised, and what to do when it is not kept."""
    yield from ("# The conformance kit", "", _doc(testing), "")
    yield from ("## What every connector promises", "", *_clauses(clauses_of(CommonClauses)))
    common = {clause.name for clause in clauses_of(CommonClauses)}
    for section, name in KITS.items():
        kit = plain_kit(section)
        yield from (f"## `{name}`", "", f"For `{section}`. {_doc(kit)}", "")
        yield from _clauses([clause for clause in clauses_of(kit) if clause.name not in common])


def _clauses(listed: Sequence[Clause]) -> Iterator[str]:
    for clause in listed:
        yield from (f"`{clause.name}`", f": {_text(clause.promise)}", "")
        if clause.advice:
            yield from (f"  *When it is not kept:* {_text(clause.advice)}", "")


def _text(sentence: str) -> str:
    return sentence.replace("<", "\\<")


class _Bare(str):
    """An annotation as it is written: without the quotes of a string."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(function: Any) -> inspect.Signature:
    signature = inspect.signature(function)
    parameters = [
        each if each.annotation is each.empty else each.replace(annotation=_Bare(each.annotation))
        for each in signature.parameters.values()
    ]
    return signature.replace(parameters=parameters, return_annotation=_Bare(signature.return_annotation))


def _doc(documented: Any) -> str:
    return inspect.cleandoc(documented.__doc__ or "")


def _code(value: object) -> str:
    text = value.__name__ if isinstance(value, type) else str(value)
    return "`" + text.replace("|", "\\|") + "`"


def write(_: object = None) -> None:
    """Write every page that is not there already as it should be."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        path = OUTPUT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(sphinx: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    sphinx.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
