"""What ours is measured against: pg_recvlogical and psql, writing to /dev/null.

Their start-up (exec, connecting, parsing) is measured with nothing to move and subtracted.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.speed.processes import clean_environment
from benchmarks.speed.runs import Run
from benchmarks.speed.server import Database
from benchmarks.speed.workloads import PUBLICATION, SLOT, Copy, Stream

from etl_core import FatalError

__all__ = ["copying", "receiving"]

_STARTS = 5
_NOTHING = "idle"


def receiving(stream: Stream, protocol: int = 1) -> Callable[[], Run]:
    """Return the control of a backlog: pg_recvlogical up to its end."""
    database = stream.database
    options = [f"proto_version={protocol}", f"publication_names={PUBLICATION}"]
    options += ["streaming=on"] if protocol > 1 else []

    def receive(slot: str, end: str) -> Run:
        return _timed(_receiver(database, slot, end, options))

    database.query(f"SELECT pg_create_logical_replication_slot('{_NOTHING}', 'pgoutput')")
    idle = _confirmed(database, _NOTHING)
    startup = median(receive(_NOTHING, idle).seconds for _ in range(_STARTS))
    database.query(f"SELECT pg_drop_replication_slot('{_NOTHING}')")

    def control() -> Run:
        with database.slot(SLOT) as slot:
            run = receive(slot, stream.end)
            ((reached,),) = database.query(
                f"SELECT confirmed_flush_lsn >= '{stream.end}' FROM pg_replication_slots "
                f"WHERE slot_name = '{slot}'"
            )
        wrong = None if reached else "the end was not reached"
        return _without(run, startup, wrong)

    return control


def copying(copy: Copy) -> Callable[[], Run]:
    """Return the control of a snapshot: psql's COPY in binary format."""
    database = copy.database
    sources = list(copy.tables)
    startup = median(_timed(_copier(database, ["(SELECT 1 WHERE false)"])).seconds for _ in range(_STARTS))

    def control() -> Run:
        run = _timed(_copier(database, sources))
        rows = sum(int(line.split()[1]) for line in run.facts["output"].splitlines())
        wrong = None if rows == copy.mirror.rows else f"{rows} rows"
        return _without(run, startup, wrong)

    return control


def _without(run: Run, startup: float, wrong: str | None) -> Run:
    """Return a run less its start-up, which may have been longer by chance than all of a tiny one."""
    return Run(max(run.seconds - startup, 0.001), run.cpu, wrong=wrong, facts={"startup": startup})


def _confirmed(database: Database, slot: str) -> str:
    query = f"SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{slot}'"
    return str(database.query(query)[0][0])


def _receiver(database: Database, slot: str, end: str, options: Sequence[str]) -> list[str]:
    command = [database.program("pg_recvlogical"), "--start", "--no-loop", "--dbname", database.dsn]
    command += ["--slot", slot, "--endpos", end, "--file", os.devnull]
    return [*command, *(part for option in options for part in ("--option", option))]


def _copier(database: Database, sources: Sequence[str]) -> list[str]:
    command = [database.program("psql"), "--no-psqlrc", "--dbname", database.dsn]
    copies = [rf"\copy {source} TO '{os.devnull}' (FORMAT binary)" for source in sources]
    return [*command, *(part for copy in copies for part in ("--command", copy))]


def _timed(command: Sequence[str]) -> Run:
    """Run a program to its end: wall time, CPU time of it alone, what it printed."""
    started, used = time.perf_counter(), _cpu_of_children()
    process = subprocess.Popen(
        command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    output, errors = process.communicate()
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise FatalError("a control failed", program=command[0], said=errors.strip())
    return Run(seconds, _cpu_of_children() - used, facts={"output": output})


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
