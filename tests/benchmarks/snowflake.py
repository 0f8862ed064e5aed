"""What rows on their way to Snowflake cost this machine: by the streaming client, by REST, and by COPY.

Runs alternate: control, ours, control, ours, ... The control is what one would write by hand: `to_pylist`,
and those dicts to the vendor's client or a JSON encoder. CPU is that of the loading process; the service is
the local emulator, another process. docs/explanation/speed.md says more.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run the command; its modules are beside this file, which would hide the vendor's `snowflake` there."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.warehouse.command import main as command

    return command(__doc__)


if __name__ == "__main__":
    sys.exit(main())
