"""A small Snowflake account on the loopback interface, for tests and for trying things out.

The vendor's own clients talk to it: `snowflake-connector-python` 5 for SQL and stages, `snowpipe-streaming`
for channels. It proves what clients do, not what Snowflake does: see EMULATOR.md.
Needs the extra `etl-snowflake[emulator]`.
"""

from __future__ import annotations

from etl_snowflake.emulator.launch import Emulator

__all__ = ["Emulator"]
