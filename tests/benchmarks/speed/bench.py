"""One call of the benchmark: what its measurements share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import Factory, define, frozen
from benchmarks.speed.latency import Pace
from benchmarks.speed.runs import Run
from benchmarks.speed.server import Database, Server

__all__ = ["FULL", "QUICK", "Bench", "Sizes"]


@frozen
class Sizes:
    """How much is moved."""

    changes: int = 500_000
    huge: int = 1_000_000
    copied: int = 1_000_000
    #: Rows of the two transactions whose peaks are compared.
    small_transaction: int = 100_000
    large_transaction: int = 2_000_000
    #: Seconds that the destination stops.
    stall: float = 30.0
    pace: Pace = Factory(Pace)
    #: Runs of what is no comparison with a control.
    repeats: int = 3
    grown_rows: tuple[int, ...] = (100_000, 1_000_000, 5_000_000)
    grown_tables: tuple[int, ...] = (1, 10, 100)
    grown_columns: tuple[int, ...] = (10, 200)
    #: Rows of the measurements with many tables, and values of those with many columns.
    grown: int = 1_000_000
    values: int = 10_000_000


FULL = Sizes()
QUICK = Sizes(
    changes=2_000,
    huge=2_000,
    copied=2_000,
    small_transaction=1_000,
    large_transaction=4_000,
    stall=0.5,
    pace=Pace(transactions=50, size=4, seconds=1.5, warm_up=0.5),
    repeats=1,
    grown_rows=(1_000, 2_000),
    grown_tables=(1, 3),
    grown_columns=(10, 30),
    grown=2_000,
    values=20_000,
)


@define
class Bench:
    """The server, the sizes, how often, and whom to tell of each run."""

    server: Server
    sizes: Sizes
    pairs: int
    note: Callable[[str, Run], None]
    _databases: int = 0

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Lend an empty database."""
        self._databases += 1
        with self.server.database(f"bench_{self._databases}") as database:
            yield database

    @property
    def scratch(self) -> Path:
        return self.server.scratch
