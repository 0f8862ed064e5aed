"""This destination under the conformance kit: what `etl-core certify snowflake` and the tests here run.

Needs the extra `emulator`: the clauses run against one, which is started once per process and ends with it.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from etl_core import Stream
from etl_core.testing import DestinationConformance
from etl_core.testing.destination.arrows import samples
from etl_core.testing.verdicts import expect
from etl_snowflake import control
from etl_snowflake.emulator import Emulator
from etl_snowflake.names import Names
from etl_snowflake.plugin import etl_register_destination
from etl_snowflake.readback import typed

__all__ = ["Snowflake", "emulator"]

#: 1677-09-22, in nanoseconds: DuckDB, in which the emulator keeps rows, has none before.
_FIRST_NANOSECOND = -9_223_286_400_000_000_000


@cache
def emulator() -> Emulator:
    """Start an emulator that lives as long as this process."""
    stack = ExitStack()
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="etl-snowflake-")))
    running = stack.enter_context(Emulator.running(directory, "--volatile", "--commit-delay", "0.05"))
    atexit.register(stack.close)
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # the driver looks for a region there
    return running


class Snowflake(DestinationConformance):
    """An emulated account; every clause has a landing schema of its own."""

    registration = etl_register_destination()[0]
    ordered = False

    def config(self) -> Mapping[str, Any]:
        account = emulator()
        return {
            "account": account.account,
            "user": account.user,
            "role": account.role,
            "private_key": account.key.read_text(),
            "warehouse": account.warehouse,
            "database": account.database,
            "landing_schema": f"LANDING_OF_{self.namespace}",
            "host": account.host,
            "port": account.port,
            "authorities": str(account.authority),
            "streaming": "off",
        }

    def clean(self) -> None:
        """Drop what the clause made, so that the account stays small."""
        names = self._ours()
        emulator().schemas(drop=[names.landing_schema, names.fold(self.namespace)])

    def read_back(self, stream: Stream) -> pa.Table | None:
        """Read past all clients; what is kept with a stream says which JSON is a list, a struct or a map."""
        names = self._ours()
        schema, table = names.place(stream)
        try:
            rows = emulator().rows(names.table(schema, table))
        except OSError:  # what the control route answers where there is no such table
            return None
        known = {names.fold(field.name): field.type for field in self._kept(names, stream)}
        columns = [typed(rows.column(name), known.get(name, pa.null())) for name in rows.column_names]
        return pa.table(columns, names=rows.column_names)

    def test_extreme_timestamps(self) -> None:
        """Timestamps at the ends of 64 bits read back equal, or are refused by name.

        Those with nanoseconds begin a day late and end one nanosecond early, as in the emulator's store;
        Snowflake has them all.
        """
        given = [values for values in samples("extreme timestamps") if values.type.unit != "ns"]
        ends = pa.array([_FIRST_NANOSECOND, 2**63 - 2, None], pa.int64())
        given += [ends.view(pa.timestamp("ns", zone)) for zone in (None, "UTC")]
        with self.session() as session:
            sent = [self._send(session, self.stream(f"t{n}"), values) for n, values in enumerate(given)]
        problems = [problem for each in sent for problem in self._compared(each)]
        expect(not problems, "timestamps have other values", problems="; ".join(problems))

    def _ours(self) -> Names:
        settings = self.settings
        return Names(settings["database"], settings["landing_schema"], settings.get("identifiers", "upper"))

    def _kept(self, names: Names, stream: Stream) -> pa.Schema:
        rows = emulator().rows(names.ours(control.STREAMS)).to_pylist()
        return next(
            (control.columns(row["COLUMNS"]) for row in rows if row["STREAM"] == str(stream)), pa.schema([])
        )
