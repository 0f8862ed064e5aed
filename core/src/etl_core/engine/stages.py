"""Gives an exception that no connector should let out a type, and the name of its stage."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl_core.errors import EtlError, FatalError

__all__ = ["stage"]


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Turn whatever is no EtlError into a FatalError that says where it came from.

    The text of the exception is not repeated, as it may hold a row's value; it is the cause.
    """
    try:
        yield
    except EtlError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise FatalError(
            "a connector failed unexpectedly",
            "run again with --debug for the traceback, and report it to the connector's author",
            stage=name,
            error=type(error).__name__,
            where=f"{Path(frame.filename).name}:{frame.lineno}",
        ) from error
