"""The one place where an error becomes an exit code and words on stderr."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from etl_core.errors import Cancelled, ConfigError, EtlError, PipelineError

__all__ = ["as_json", "exit_code", "report"]


def exit_code(error: BaseException) -> int:
    """Return the process's exit code for an error."""
    return int(error.exit_code) if isinstance(error, EtlError | Cancelled) else 1


def report(error: BaseException, *, debug: bool = False, log_format: str = "human") -> int:
    """Say on stderr what happened and what to do; return the exit code."""
    if log_format == "json":
        click.echo(json.dumps({"level": "ERROR", **as_json(error)}), err=True)
        return exit_code(error)
    if debug and not isinstance(error, Cancelled):
        click.echo("".join(traceback.format_exception(error)), err=True)
    for line in _lines(error):
        click.echo(line, err=True)
    return exit_code(error)


def as_json(error: BaseException) -> dict[str, Any]:
    """Return an error for programs to read."""
    if isinstance(error, PipelineError):
        return {"pipeline": error.facts["pipeline"], **as_json(error.cause)}
    described: dict[str, Any] = {"type": type(error).__name__, "exit_code": exit_code(error)}
    if isinstance(error, EtlError):
        described |= {"message": error.message, "hint": error.hint}
        described["facts"] = {key: str(value) for key, value in error.facts.items() if value is not None}
    if isinstance(error, ConfigError):
        described["problems"] = [
            {"path": one.path, "message": one.message, "hint": one.hint, "at": one.at}
            for one in error.problems
        ]
    return described


def _lines(error: BaseException) -> Iterator[str]:
    if isinstance(error, Cancelled):
        yield "cancelled: what was durable is kept, the next run resumes there"
    elif isinstance(error, PipelineError):
        yield f"pipeline {error.facts['pipeline']} failed"
        yield from _lines(error.cause)
    elif isinstance(error, EtlError):
        yield from _described(error)
    else:
        yield f"error: {type(error).__name__} at {_place(error)}"
        yield "hint: this is a fault in etl-core or a plugin; run again with --debug for the traceback"


def _described(error: EtlError) -> Iterator[str]:
    yield f"error: {error.message}"
    for key, value in error.facts.items():
        if value is not None:
            yield f"  {key.replace('_', ' ')}: {value}"
    if isinstance(error, ConfigError):
        yield from (f"  {problem}" for problem in error.problems)
    if error.hint:
        yield f"hint: {error.hint}"


def _place(error: BaseException) -> str:
    """Say where an unexpected exception came from; its text may hold a row's value."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
