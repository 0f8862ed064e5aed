"""What tests ask of the emulator behind the clients' back; not part of any Snowflake service."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pyarrow as pa
from aiohttp import web

from etl_snowflake.emulator.account import Account
from etl_snowflake.emulator.auth import User, public_key
from etl_snowflake.emulator.errors import SnowflakeError
from etl_snowflake.emulator.names import logical, split
from etl_snowflake.emulator.results import stream
from etl_snowflake.emulator.store import patient


async def _statements(account: Account, request: web.Request, body: bytes) -> web.Response:
    return web.json_response(account.journal.statements(int(request.query.get("from", "0"))))


async def _counts(account: Account, request: web.Request, body: bytes) -> web.Response:
    return web.json_response(dict(account.journal.counts))


async def _clear(account: Account, request: web.Request, body: bytes) -> web.Response:
    account.journal.clear()
    account.faults.clear()
    return web.json_response({})


async def _reset(account: Account, request: web.Request, body: bytes) -> web.Response:
    """Be as the account began, but for streamed channels; the body holds switches."""
    account.journal.clear()
    account.faults.clear()
    account.grants.holes.clear()
    account.faults.switch(json.loads(body) if body else {})
    own = {"PUBLIC", account.names.schema}
    made = [each for each in account.catalog.schemas(account.names.database) if each not in own]
    if made:
        await asyncio.to_thread(_change, account, [], made)
    return web.json_response({})


async def _faults(account: Account, request: web.Request, body: bytes) -> web.Response:
    if request.method == "DELETE":
        account.faults.clear()
    if request.method == "POST":
        asked = json.loads(body)
        try:
            for each in asked if isinstance(asked, list) else [asked]:
                account.faults.add(each)
        except TypeError as error:
            return web.json_response({"error": str(error)}, status=400)
    return web.json_response(account.faults.waiting())


async def _switches(account: Account, request: web.Request, body: bytes) -> web.Response:
    try:
        return web.json_response(account.faults.switch(json.loads(body) if body else {}))
    except (KeyError, TypeError) as error:
        return web.json_response({"error": f"no such switch: {error}"}, status=400)


async def _grants(account: Account, request: web.Request, body: bytes) -> web.Response:
    asked = json.loads(body) if body else {}
    if asked.get("reset"):
        account.grants.holes.clear()
    for word, change in (("revoke", account.grants.revoke), ("grant", account.grants.grant)):
        for each in asked.get(word, []):
            change(
                each["privilege"], each["kind"], each.get("name", "*"), each.get("role", account.names.role)
            )
    holes = [[each.privilege, each.kind, each.name, each.role] for each in account.grants.holes]
    return web.json_response({"revoked": holes})


async def _keys(account: Account, request: web.Request, body: bytes) -> web.Response:
    """Give a user its public keys, one or two; make the user where there is none."""
    asked = json.loads(body)
    name = asked.get("user", account.names.user)
    user = account.door.users.setdefault(name, User(name, asked.get("roles", [account.names.role])))
    user.keys = [public_key(each) if each else None for each in asked["keys"]]
    user.disabled = bool(asked.get("disabled", False))
    return web.json_response({"user": name})


async def _expire(account: Account, request: web.Request, body: bytes) -> web.Response:
    """Let tokens handed out so far count as expired; `masters`: those that renew sessions too."""
    asked = json.loads(body) if body else {}
    account.sessions.expire(masters=bool(asked.get("masters")))
    account.door.expire_tokens()
    for name, owner in (("session_lifetime", account.sessions), ("token_lifetime", account.door)):
        if name in asked:
            owner.lifetime = float(asked[name])
    return web.json_response({})


async def _schemas(account: Account, request: web.Request, body: bytes) -> web.Response:
    """Make schemas of the account's database, empty ones, or drop them with all that is in them."""
    asked = json.loads(body)
    await asyncio.to_thread(_change, account, asked.get("make", []), asked.get("drop", []))
    return web.json_response({})


def _change(account: Account, make: list[str], drop: list[str]) -> None:
    database, store = account.names.database, account.store

    def work() -> None:
        there = store.catalog.schemas(database)
        for name in [each for each in (*make, *drop) if each in there]:
            store.drop_schema(database, name)
        for name in make:
            store.ensure_schema(database, name)

    with store.changing(work), store.meta:
        patient(work)
        store.save()


async def _channels(account: Account, request: web.Request, body: bytes) -> web.Response:
    if request.method == "POST":
        asked = json.loads(body)
        count = account.channels.take_over(asked["channel"], turn=asked.get("how") == "stale")
        return web.json_response({"channels": count})
    found = [
        {**each.status(), "continuation_token": each.continuation, "batches_pending": len(each.pending)}
        for each in account.channels.all()
    ]
    return web.json_response(found)


async def _tasks(account: Account, request: web.Request, body: bytes) -> web.Response:
    return web.json_response(account.scheduler.runs)


async def _rows(account: Account, request: web.Request, body: bytes) -> web.Response:
    """Give a table's rows: an Arrow IPC stream, or JSON (`?format=json`, values as text)."""
    try:
        table = await asyncio.to_thread(_read, account, request.query["table"], request.query.get("order"))
    except SnowflakeError as error:
        return web.json_response({"code": error.code, "message": error.message}, status=404)
    if request.query.get("format") == "json":
        return web.json_response(table.to_pylist(), dumps=lambda value: json.dumps(value, default=str))
    return web.Response(body=stream(table), content_type="application/vnd.apache.arrow.stream")


def _read(account: Account, name: str, order: str | None) -> pa.Table:
    parts = split(name)
    path = (account.names.database, account.names.schema, *parts)[-3:] if len(parts) < 3 else tuple(parts)
    table = account.catalog.table((path[0], path[1], path[2]))
    by = f" ORDER BY {order}" if order else ""
    with account.store.cursor() as cursor:
        arrow: Any = cursor.sql(f"SELECT * FROM {table.sql}{by}").to_arrow_table()
    return arrow.rename_columns([logical(each) for each in arrow.column_names])


ROUTES = [
    ("GET", "/_control/statements", "control", _statements),
    ("GET", "/_control/counts", "control", _counts),
    ("POST", "/_control/clear", "control", _clear),
    ("POST", "/_control/reset", "control", _reset),
    ("*", "/_control/faults", "control", _faults),
    ("*", "/_control/switches", "control", _switches),
    ("*", "/_control/grants", "control", _grants),
    ("POST", "/_control/keys", "control", _keys),
    ("POST", "/_control/expire", "control", _expire),
    ("POST", "/_control/schemas", "control", _schemas),
    ("*", "/_control/channels", "control", _channels),
    ("GET", "/_control/tasks", "control", _tasks),
    ("GET", "/_control/rows", "control", _rows),
]
