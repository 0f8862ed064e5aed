"""Which decoder there is: the compiled one, or where it was not built the one in Python."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from etl_core import Context
from etl_postgres_cdc.events import VERSION, Decoder, Rows
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.plain import PlainDecoder
from etl_postgres_cdc.rows import Rows as PlainRows

if TYPE_CHECKING:
    from etl_postgres_cdc import _wire as wire

__all__ = ["copier", "decoder", "is_compiled", "new_rows", "say_once"]

#: Rows and bytes of messages that gather before they become batches.
MAX_ROWS = 65536
MAX_BYTES = 8 << 20


def _load(module: str) -> Any:
    try:
        return import_module(f"etl_postgres_cdc.{module}")
    except ImportError:
        return None


def _load_wire() -> Any:
    """Load the compiled decoder, but for one that was built from other sources than these."""
    found = _load("_wire")
    return found if getattr(found, "VERSION", None) == VERSION else None


_wire = _load_wire()
_compiled = _load("compiled") if _wire else None
_said = False


def is_compiled() -> bool:
    """Say whether the compiled decoder is there."""
    return _compiled is not None


def say_once(ctx: Context) -> None:
    """Tell, once per process, that the slow decoder is at work."""
    global _said  # noqa: PLW0603 - once per process is the point
    if not is_compiled() and not _said:
        _said = True
        ctx.logger.warning(
            "the compiled decoder was not built when etl-postgres-cdc was installed: decoding in Python, "
            "many times slower; install a C compiler and reinstall it"
        )


def new_rows(layout: Layout) -> Rows:
    """Return an empty table of rows."""
    rows: Rows = _compiled.CompiledRows(layout) if _compiled else PlainRows(layout)
    return rows


def decoder(epoch: int) -> Decoder:
    """Return a decoder for one stream of changes."""
    kind: Any = _wire.Decoder if _wire else PlainDecoder
    made: Decoder = kind(epoch, MAX_ROWS, MAX_BYTES)
    return made


def copier(rows: Rows, epoch: int, lsn: int, ordinal: int, skip: int) -> wire.Copier:
    """Return a decoder of one binary copy, whose first row has that place; compiled only."""
    assert _wire is not None
    made: wire.Copier = _wire.Copier(rows, epoch, lsn, ordinal, skip, MAX_ROWS, MAX_BYTES)
    return made
