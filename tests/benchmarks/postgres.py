"""How fast postgres-cdc is, beside what PostgreSQL itself can send: pg_recvlogical and psql on the same data.

Runs alternate: control, ours, control, ours, ... Each of ours is divided by the mean of its two neighbours;
what counts is the median of these ratios, with a bootstrap bound. docs/explanation/speed.md says more.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run the command; its modules are beside this file."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from benchmarks.speed.command import main as command

    return command(__doc__)


if __name__ == "__main__":
    sys.exit(main())
