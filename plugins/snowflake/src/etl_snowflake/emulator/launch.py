"""The emulator in a process of its own, for tests and for examples."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Emulator:
    """A running emulator: where it is, who may log in, and its control routes."""

    url: str
    host: str
    port: int
    authority: Path
    key: Path
    account: str
    user: str
    role: str
    warehouse: str
    database: str
    schema: str
    pid: int

    @classmethod
    @contextmanager
    def running(cls, directory: Path, *options: str) -> Iterator[Emulator]:
        """Start one that keeps its things in a directory, and end it afterwards.

        `options` are those of the command line. Clients of this process trust it where
        `SSL_CERT_FILE` names `authority` before they are imported.
        """
        command = [
            sys.executable,
            "-m",
            "etl_snowflake.emulator",
            "--json",
            "--directory",
            str(directory),
            *options,
        ]
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "emulator.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the emulator did not start; see emulator.log")
            facts = json.loads(line)
            facts |= {name: Path(facts[name]) for name in ("authority", "key")}
            yield cls(**facts, pid=process.pid)
        finally:
            _end(process)

    def connector(self, **changed: Any) -> dict[str, Any]:
        """Give the parameters of `snowflake.connector.connect`."""
        return {
            "account": self.account,
            "user": self.user,
            "host": self.host,
            "port": self.port,
            "protocol": "https",
            "authenticator": "SNOWFLAKE_JWT",
            "private_key_file": str(self.key),
            "role": self.role,
            "warehouse": self.warehouse,
            "database": self.database,
            "schema": self.schema,
            "custom_root_store_path": str(self.authority),
            "enable_server_session_keep_alive_auto_detection": False,
            **changed,
        }

    def settings(self) -> dict[str, Any]:
        """Give the settings of the destination that say where the account is, and who logs in."""
        return {
            "account": self.account,
            "user": self.user,
            "role": self.role,
            "database": self.database,
            "warehouse": self.warehouse,
            "private_key_path": self.key,
            "host": self.host,
            "port": self.port,
            "authorities": self.authority,
        }

    def streaming(self, **changed: str) -> dict[str, str]:
        """Give the properties of `StreamingIngestClient`."""
        return {
            "account": self.account,
            "user": self.user,
            "url": self.url,
            "private_key": self.key.read_text(),
            "role": self.role,
            **changed,
        }

    def control(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """Call a control route, and give what it answers, out of JSON."""
        return json.loads(self._call(path, body, method))

    def _call(self, path: str, body: Any, method: str | None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_control/{path}", data, method=method)  # noqa: S310 - https
        context = ssl.create_default_context(cafile=self.authority)
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310 - as above
            content: bytes = answer.read()
            return content

    def reset(self, **switches: Any) -> None:
        """Be as it began: no faults, no counts, all grants, no schemas but its own; change switches."""
        self.control("reset", switches)

    def schemas(self, *, make: Sequence[str] = (), drop: Sequence[str] = ()) -> None:
        """Make schemas of the database, empty ones, or drop them; past all clients, and quicker than one."""
        self.control("schemas", {"make": list(make), "drop": list(drop)})

    def rows(self, table: str, order: str = "") -> pa.Table:
        """Give a table's rows, past all clients."""
        query = urllib.parse.urlencode({"table": table, **({"order": order} if order else {})})
        with pa.ipc.open_stream(self._call(f"rows?{query}", None, None)) as reader:
            return reader.read_all()

    def fault(self, route: str, **more: Any) -> None:
        """Order a fault; see `etl_snowflake.emulator.faults.Fault`."""
        self.control("faults", {"route": route, **more})

    def switch(self, **values: Any) -> dict[str, Any]:
        """Change switches; see `etl_snowflake.emulator.faults.Switches`."""
        return dict(self.control("switches", values))

    def counts(self) -> dict[str, int]:
        """Give the counters."""
        return dict(self.control("counts"))

    def statements(self) -> list[dict[str, Any]]:
        """Give the statements received."""
        return list(self.control("statements"))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for something with a deadline; whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
