"""`python -m etl_snowflake.emulator`: serve a local account until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from etl_snowflake.emulator.account import Account, Names
from etl_snowflake.emulator.faults import Switches
from etl_snowflake.emulator.server import listen, serve
from etl_snowflake.emulator.tls import server_context, write_authority

# Statements that wait for a transaction hold a thread each; its COMMIT needs one, too.
_THREADS = 64
_EXAMPLE = """\
The emulator serves {url} (Ctrl-C ends it).

  export SSL_CERT_FILE={authority}

destination:
  use: snowflake
  account: {account}
  user: {user}
  private_key_path: {key}
  role: {role}
  warehouse: {warehouse}
  database: {database}
  host: {host}
  port: {port}
  authorities: {authority}
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m etl_snowflake.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a port of 127.0.0.1; 0 takes any")
    parser.add_argument(
        "--directory", type=Path, help="keep keys, rows and files here (default: a temporary one)"
    )
    parser.add_argument(
        "--volatile", action="store_true", help="keep rows in memory, and all else in the directory"
    )
    parser.add_argument(
        "--commit-delay", type=float, default=0.3, help="seconds until streamed rows are committed"
    )
    parser.add_argument(
        "--task-minute", type=float, default=60.0, help="how many seconds a task's minute takes"
    )
    parser.add_argument("--faults", type=Path, help="a JSON file with a list of faults to begin with")
    parser.add_argument(
        "--json",
        action="store_true",
        help="say where everything is as one line of JSON, and end with the standard input",
    )
    for name, default in Names.__dataclass_fields__.items():
        parser.add_argument(f"--{name}", default=default.default, help=f"the {name}'s name (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Serve until told to end."""
    arguments = _arguments()
    with ExitStack() as stack:
        keep = arguments.directory is not None and not arguments.volatile
        directory = arguments.directory or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        names = Names(**{name: getattr(arguments, name) for name in Names.__dataclass_fields__})
        switches = Switches(commit_delay=arguments.commit_delay, task_minute=arguments.task_minute)
        account = Account(directory.absolute(), names, switches, keep=keep)
        for fault in json.loads(arguments.faults.read_text()) if arguments.faults else ():
            account.faults.add(fault)
        asyncio.run(_serve(account, directory.absolute(), arguments.port, as_json=arguments.json))


async def _serve(account: Account, directory: Path, port: int, *, as_json: bool) -> None:
    authority = write_authority(directory)
    listener = listen(port)
    account.address = f"127.0.0.1:{listener.getsockname()[1]}"
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if as_json:
        threading.Thread(target=_outlived, args=(asyncio.get_running_loop(), stop), daemon=True).start()
    account.start()
    _announce(account, authority, directory / "key.pem", as_json=as_json)
    gc.freeze()  # what is loaded stays
    await serve(account, listener, server_context(directory), stop)
    await asyncio.to_thread(account.stop)


def _outlived(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Wait for the end of the process that started this one, however it ends."""
    sys.stdin.read()
    loop.call_soon_threadsafe(stop.set)


def _announce(account: Account, authority: Path, key: Path, *, as_json: bool) -> None:
    facts = {
        "url": f"https://{account.address}",
        "host": "127.0.0.1",
        "port": int(account.address.rpartition(":")[2]),
        "authority": str(authority),
        "key": str(key),
        **account.names.__dict__,
    }
    sys.stdout.write(json.dumps(facts) + "\n" if as_json else _EXAMPLE.format(**facts))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
