"""Log lines of the command line, to stderr. Nothing else configures loguru."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message

__all__ = ["configure", "write_through"]

_HUMAN = "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {extra[who]}{message}\n"


def configure(form: str, *, level: str, debug: bool) -> None:
    """Log to stderr from `level` on; values of variables are never shown, tracebacks only in debug."""
    logger.remove()
    logger.configure(patcher=_say_who)
    options: dict[str, Any] = {"level": level, "backtrace": False, "diagnose": False}
    if form == "json":
        logger.add(_write_json, **options)
    else:
        formatted = _HUMAN + ("{exception}" if debug else "")
        logger.add(_Stderr.write, format=lambda _: formatted, colorize=sys.stderr.isatty(), **options)


class _Stderr:
    """Where lines go: stderr, or through what draws on the terminal."""

    through: Callable[[str], None] | None = None

    @classmethod
    def write(cls, message: str) -> None:
        if cls.through is None:
            sys.stderr.write(message)
            sys.stderr.flush()
        else:
            cls.through(message)


def write_through(writer: Callable[[str], None] | None) -> None:
    """Hand lines to `writer` while something draws on the terminal; None: to stderr again."""
    _Stderr.through = writer


def _say_who(record: Any) -> None:
    extra = record["extra"]
    names = [str(extra[key]) for key in ("pipeline", "connector") if key in extra]
    extra["who"] = f"{' '.join(names)}: " if names else ""


def _write_json(message: Message) -> None:
    record = message.record
    line: dict[str, Any] = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        **{key: value for key, value in record["extra"].items() if key != "who"},
    }
    if record["exception"] is not None and record["exception"].type is not None:
        line["error"] = record["exception"].type.__name__
    _Stderr.write(json.dumps(line, default=str, ensure_ascii=False) + "\n")
