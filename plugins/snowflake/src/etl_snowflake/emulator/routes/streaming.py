"""The routes of Snowpipe Streaming, high-performance architecture, in rows mode and in file mode."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from etl_snowflake.emulator.account import Account
from etl_snowflake.emulator.auth import Refused, User
from etl_snowflake.emulator.channel import Key
from etl_snowflake.emulator.errors import ApiError, SnowflakeError, unauthorized
from etl_snowflake.emulator.lines import unseal
from etl_snowflake.emulator.routes.stage import STREAMS

_PIPE_KEY = b"emulator pipe key, 32 bytes long"
_PATH = "/v2/streaming/databases/{db}/schemas/{schema}/pipes/{pipe:[^/:]+}"
_DATA = "/v2/streaming/data/databases/{db}/schemas/{schema}/pipes/{pipe:[^/:]+}"


def _role(account: Account, request: web.Request) -> str:
    """Give the role that the request's token was handed out for."""
    try:
        return account.door.admit(request.headers.get("Authorization"))
    except Refused as refused:
        raise unauthorized() from refused


async def _hostname(account: Account, request: web.Request, body: bytes) -> web.Response:
    """Give the host of the data routes: plain text, without a port."""
    _key_pair(account, request.headers.get("Authorization", "").removeprefix("Bearer "))
    return web.Response(text="127.0.0.1")


def _key_pair(account: Account, token: str) -> tuple[User, str]:
    """Give the user and the role of a key-pair token."""
    try:
        user = account.door.verify(token)
        return user, account.door.role_of(token, user)
    except Refused as refused:
        account.journal.count(logins_refused=1, **{f"refused_{refused}": 1})
        raise ApiError(401, "390144", "JWT token is invalid.") from refused


async def _token(account: Account, request: web.Request, body: bytes) -> web.Response:
    """Exchange a key-pair token for one of the streaming host."""
    form = parse_qs(body.decode())
    header = request.headers.get("Authorization", "").removeprefix("Bearer ")
    user, role = _key_pair(account, form.get("assertion", [header])[0])
    account.journal.count(tokens=1)
    return web.Response(text=account.door.hand_out(user, role))


def _pipe(request: web.Request) -> tuple[str, str, str]:
    database, schema, pipe = (request.match_info[each] for each in ("db", "schema", "pipe"))
    return _name(database), _name(schema), pipe


def _name(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


def _key(request: web.Request) -> Key:
    return (*_pipe(request), request.match_info["channel"])


def _known(account: Account, request: web.Request) -> Any:
    """Find the pipe's table, as the user may see it; database and schema fold where they are not exact."""
    role = _role(account, request)
    database, schema, pipe = _pipe(request)
    databases = account.catalog.databases
    database = database if database in databases else database.upper()
    schema = schema if schema in databases.get(database, {}) else schema.upper()
    table = account.channels.table_of(database, schema, pipe)
    try:
        account.grants.require(role, "INSERT", "TABLE", *table.path)
    except SnowflakeError as error:
        text = "The pipe does not exist or is not authorized."
        raise ApiError(403, "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED", text) from error
    return table


async def _info(account: Account, request: web.Request, body: bytes) -> web.Response:
    _known(account, request)
    place = _location(account)
    return web.json_response(
        {
            "rowset_stage_location": place,
            "transient_stage_location": place,
            "durable_stage_location": place,
            "stage_location": place,
            "encryption_info": {
                "pipe_key": base64.b64encode(_PIPE_KEY).decode(),
                "pipe_key_id": 1,
                "diversifier": base64.b64encode(b"d" * 16).decode(),
            },
            "parameter_overrides": {"binary_input_format": account.faults.switches.binary},
            "parameters": place["parameters"],
        }
    )


def _location(account: Account) -> dict[str, Any]:
    return {
        "expiry_time_ms": int((time.time() + 3600) * 1000),
        "location_type": "S3",
        "location": f"{STREAMS}/pipes/",
        "use_s3_regional_url": False,
        "use_fips": False,
        "region": "us-east-1",
        "storage_account": "",
        "storage_endpoint": account.address,
        "bucket_name": STREAMS,
        "path_prefix": "pipes/",
        "creds": {
            "AWS_KEY_ID": "EMULATORKEY",
            "AWS_SECRET_KEY": "emulator",
            "AWS_TOKEN": "emulator",
            "AZURE_SAS_TOKEN": "",
            "GCS_SERVICE_ACCOUNT_KEY_BASE64": "",
            "GCS_ACCESS_TOKEN": "",
        },
        "parameters": {
            "max_client_lag_seconds": 1,
            "rowset_flush_threshold_kb": account.faults.switches.flush_kb,
            "max_buffered_kb_for_rowset_mode": 65_535,
            "rowset_threshold_lookback_seconds": 10,
            "rowset_threshold_ewma_weight": 50,
            "target_file_size_compressed_mb": 16,
            "cpu_throttle_high_watermark_percent": 95,
            "cpu_throttle_low_watermark_percent": 80,
            "mem_throttle_high_watermark_percent": 95,
            "mem_throttle_low_watermark_percent": 80,
        },
    }


async def _open(account: Account, request: web.Request, body: bytes) -> web.Response:
    table = _known(account, request)
    asked = json.loads(body) if body else {}
    key = _key(request)
    channel = await asyncio.to_thread(account.channels.open, key, key[3], table, asked)
    account.journal.count(channels_opened=1)
    return web.json_response(
        {"next_continuation_token": channel.continuation, "channel_status": channel.status()}
    )


async def _drop(account: Account, request: web.Request, body: bytes) -> web.Response:
    _role(account, request)
    channel = account.channels.drop(_key(request))
    return web.json_response({"last_committed_offset_token": channel.committed if channel else None})


async def _status(account: Account, request: web.Request, body: bytes) -> web.Response:
    _role(account, request)
    pipe, found = _pipe(request), {}
    for name in json.loads(body).get("channel_names", []):
        try:
            found[name] = account.channels.get((*pipe, name)).status()
        except ApiError:
            continue  # the service leaves out what it does not know
    return web.json_response({"channel_statuses": found})


async def _rows(account: Account, request: web.Request, body: bytes) -> web.Response:
    _role(account, request)
    token = request.query.get("endOffsetToken") or request.query.get("offsetToken")
    batches = [(body, token)]
    after = account.channels.append(_key(request), request.query.get("continuationToken"), batches)
    account.journal.count(appends=1, bytes_appended=len(body))
    return web.json_response({"next_continuation_token": after})


async def _filebuffer(account: Account, request: web.Request, body: bytes) -> web.Response:
    _role(account, request)
    batches = await asyncio.to_thread(_fragments, account, json.loads(body))
    after = account.channels.append(_key(request), request.query.get("continuationToken"), batches)
    account.journal.count(filebuffers=1, bytes_appended=sum(len(each) for each, _ in batches))
    return web.json_response({"next_continuation_token": after})


def _fragments(account: Account, fragments: list[dict[str, Any]]) -> list[tuple[bytes, str | None]]:
    batches = []
    for fragment in fragments:
        body = unseal(fragment, lambda path: account.files.get(_blob(path)), _PIPE_KEY)
        if body is None:
            raise ApiError(400, "ERR_FILE_NOT_FOUND", "The file of a fragment was not uploaded.")
        batches.append((body, fragment["fragment_end_offset_token"]))
    return batches


def _blob(path: str) -> str:
    return path if path.startswith(STREAMS + "/") else f"{STREAMS}/{path}"


ROUTES = [
    ("GET", "/v2/streaming/hostname", "hostname", _hostname),
    ("POST", "/oauth/token", "token", _token),
    ("*", _PATH + ":pipe-info", "pipe-info", _info),
    ("*", _PATH + ":bulk-channel-status", "status", _status),
]
for _base in (_PATH, _DATA):
    ROUTES += [
        ("PUT", _base + "/channels/{channel}", "open", _open),
        ("DELETE", _base + "/channels/{channel}", "drop", _drop),
        ("POST", _base + "/channels/{channel}/rows", "rows", _rows),
        ("POST", _base + "/channels/{channel}/filebuffer", "filebuffer", _filebuffer),
    ]
