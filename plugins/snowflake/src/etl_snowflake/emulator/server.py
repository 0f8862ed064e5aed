"""The HTTPS server: every route has a name, by which faults and counters know it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

from etl_snowflake.emulator.account import Account
from etl_snowflake.emulator.errors import ApiError
from etl_snowflake.emulator.faults import Fault
from etl_snowflake.emulator.lines import decompress
from etl_snowflake.emulator.routes import control, login, sql, stage, streaming
from etl_snowflake.emulator.routes.answers import failed

Reply = Awaitable[web.StreamResponse]
Handle = Callable[[Account, web.Request, bytes], Reply]
_LARGEST = 1 << 30
#: What is smaller is unpacked sooner than a thread for it is found.
_SMALL = 64 << 10


def application(account: Account) -> web.Application:
    """Put all routes together."""
    app = web.Application(client_max_size=_LARGEST, handler_args={"auto_decompress": False})
    for module in (login, sql, streaming, stage, control):
        for method, path, name, handle in module.ROUTES:
            app.router.add_route(method, path, _wrap(account, name, handle))
    app.router.add_route("*", "/{rest:.*}", _wrap(account, "unknown", _unknown))
    return app


def _wrap(account: Account, name: str, handle: Handle) -> Callable[[web.Request], Reply]:
    async def serve(request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        account.journal.count(**{f"requests_{name}": 1, f"bytes_{name}": len(raw)})
        encoding = request.headers.get("Content-Encoding", "")
        body = _plain(encoding, raw) if len(raw) < _SMALL else await asyncio.to_thread(_plain, encoding, raw)
        fault = account.faults.take(name, _text(name, request, body)) if account.faults else None
        return await _served(account, request, body, handle, fault)

    return serve


def _plain(encoding: str, body: bytes) -> bytes:
    match encoding.lower():
        case "gzip":
            return gzip.decompress(body)
        case "zstd":
            return decompress(body)
    return body


def _text(name: str, request: web.Request, body: bytes) -> str:
    """Give what a fault's `match` looks at: the statement, or the path."""
    if name != "sql":
        return request.path
    return str(json.loads(body).get("sqlText", ""))


async def _served(
    account: Account, request: web.Request, body: bytes, handle: Handle, fault: Fault | None
) -> web.StreamResponse:
    if fault is None:
        return await _answer(account, request, body, handle)
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.error:
        return web.json_response(
            failed(fault.error["code"], fault.error.get("state", "00000"), fault.error["message"])
        )
    if fault.status:
        return _refusal(fault)
    if fault.cut == "before":
        return _cut(request)
    response = await _answer(account, request, body, handle)
    return _cut(request) if fault.cut else response


def _refusal(fault: Fault) -> web.StreamResponse:
    if isinstance(fault.body, str):
        return web.Response(text=fault.body, status=fault.status, headers=fault.headers)
    return web.json_response(fault.body, status=fault.status, headers=fault.headers)


def _cut(request: web.Request) -> web.StreamResponse:
    """Reset the connection, so that the client gets no answer."""
    transport = request.transport
    if transport is not None:
        transport.abort()
    return web.Response()


async def _answer(account: Account, request: web.Request, body: bytes, handle: Handle) -> web.StreamResponse:
    try:
        return await handle(account, request, body)
    except ApiError as error:
        return web.json_response(
            {"code": error.code, "error_code": error.code, "message": error.message}, status=error.status
        )


async def _unknown(account: Account, request: web.Request, body: bytes) -> web.StreamResponse:
    sys.stderr.write(f"not emulated: {request.method} {request.path_qs}\n")
    raise ApiError(404, "NOT_EMULATED", f"{request.method} {request.path} is not emulated")


def listen(port: int) -> socket.socket:
    """Take a port of the loopback interface; 0 for any."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


async def serve(
    account: Account, listener: socket.socket, context: ssl.SSLContext, stop: asyncio.Event
) -> None:
    """Serve until told to stop."""
    runner = web.AppRunner(application(account), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=context).start()
    await stop.wait()
    await runner.cleanup()
