"""The conformance kit of destinations."""

from __future__ import annotations

from etl_core.testing.destination.basics import Basics
from etl_core.testing.destination.durability import Durability
from etl_core.testing.destination.evolution import Evolution
from etl_core.testing.destination.kills import Kills
from etl_core.testing.destination.modes import Modes
from etl_core.testing.destination.replays import Replays
from etl_core.testing.destination.shapes import Shapes
from etl_core.testing.destination.snapshots import Snapshots
from etl_core.testing.destination.types import Types

__all__ = ["DestinationConformance"]


class DestinationConformance(  # the last one's clauses run first
    Kills, Types, Shapes, Evolution, Snapshots, Modes, Replays, Durability, Basics
):
    """A destination under test.

    Give `registration`, `config` and `read_back(stream)`: the rows of a stream that are durable now, as a
    `pa.Table` with all columns, control columns too, or None where there is no such table. It is called
    only while no connector of the kit is open in this process. `prepare` and `clean` may make and remove
    what the clause's `namespace` and `directory` need. Where a type reads back in a way that Arrow's cast
    from what was sent does not give, override `expected`.

    `ordered` says that `read_back` keeps the order in which rows came. `fences` says that a second
    opener displaces the first where the destination keeps no position. `thorough` tries every place where
    a run can be killed.
    """
