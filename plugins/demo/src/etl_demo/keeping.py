"""What `--keep` leaves running: found again in its directory, compared, stopped."""

from __future__ import annotations

from pathlib import Path

from etl_core import FatalError
from etl_demo import shop
from etl_demo.compare import compare
from etl_demo.story import Report
from etl_pglib.embedded import EmbeddedPostgres

__all__ = ["compare_again", "server_of", "stop"]


def server_of(directory: Path, version: int = 16) -> EmbeddedPostgres:
    """Return the server of a demonstration's directory, running or not; its data go when it is closed."""
    return EmbeddedPostgres(directory / "postgres", version=version, temporary=True)


def compare_again(directory: Path) -> Report:
    """Compare source and copy as they are now. Raises FatalError if nothing runs there."""
    server = _running(directory)
    try:
        dsn = server.dsn_of(shop.DATABASE)
        return Report(directory, dsn, compare(dsn, directory / "shop.duckdb"))
    finally:
        server.release()


def stop(directory: Path) -> None:
    """Stop the server and remove its data; the copy stays. Raises FatalError if nothing runs there."""
    server = _running(directory)
    server.stop()
    server.close()


def _running(directory: Path) -> EmbeddedPostgres:
    if (directory / "postgres").is_dir():
        server = server_of(directory)
        if server.join():
            return server
        server.release()
    raise FatalError(
        "no PostgreSQL runs in this directory", "etl-core demo --keep leaves one", found=directory
    )
