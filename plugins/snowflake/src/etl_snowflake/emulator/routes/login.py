"""The routes of the SQL driver for sessions: login, renewal, log-out."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from aiohttp import web

from etl_snowflake.emulator.account import Account, folded
from etl_snowflake.emulator.auth import Refused
from etl_snowflake.emulator.errors import SnowflakeError
from etl_snowflake.emulator.routes.answers import failed, ok, parameters_of, token_of
from etl_snowflake.emulator.sessions import Session

_PARAMETERS = {
    "AUTOCOMMIT": True,
    "CLIENT_PREFETCH_THREADS": 4,
    "CLIENT_SESSION_KEEP_ALIVE": False,
    "CLIENT_TELEMETRY_ENABLED": False,
    "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD": 1_000_000,
    "PYTHON_CONNECTOR_QUERY_RESULT_FORMAT": "arrow",
    "TIMEZONE": "UTC",
    "QUERY_RESULT_FORMAT": "arrow",
}


async def _login(account: Account, request: web.Request, body: bytes) -> web.Response:
    try:
        data = await asyncio.to_thread(_open, account, json.loads(body)["data"], dict(request.query))
    except Refused as refused:
        account.journal.count(logins_refused=1, **{f"refused_{refused}": 1})
        text = f"JWT token is invalid. [{uuid.uuid4()}]"
        return web.json_response(failed("390144", "08004", text))
    except SnowflakeError as error:
        return web.json_response(failed(error.code, error.state, error.message))
    return web.json_response(ok(data))


def _open(account: Account, data: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
    if str(data.get("AUTHENTICATOR", "")).upper() != "SNOWFLAKE_JWT":
        raise Refused("AUTHENTICATOR_NOT_EMULATED")
    if str(data.get("ACCOUNT_NAME", "")).partition(".")[0].upper() != account.name:
        raise Refused("ACCOUNT")
    user = account.door.verify(str(data.get("TOKEN")), str(data.get("LOGIN_NAME")))
    session = account.new_session(user, folded(query.get("roleName")))
    account.place_session(
        session,
        folded(query.get("warehouse")),
        folded(query.get("databaseName")),
        folded(query.get("schemaName")),
    )
    session.parameters = {**_PARAMETERS, **(data.get("SESSION_PARAMETERS") or {})}
    account.sessions.open(session)
    account.journal.count(logins=1)
    return {
        "token": session.token,
        "masterToken": session.master,
        "validityInSeconds": int(account.sessions.lifetime),
        "masterValidityInSeconds": 14_400,
        "displayUserName": user.name,
        "serverVersion": "9.99.0",
        "firstLogin": False,
        "remMeToken": None,
        "remMeValidityInSeconds": 0,
        "healthCheckInterval": 45,
        "newClientForUpgrade": None,
        "sessionId": session.number,
        "parameters": parameters_of(session),
        "sessionInfo": _info(session),
        "idToken": None,
        "idTokenValidityInSeconds": 0,
        "responseData": None,
        "mfaToken": None,
        "mfaTokenValidityInSeconds": 0,
    }


def _info(session: Session) -> dict[str, Any]:
    return {
        "databaseName": session.database,
        "schemaName": session.schema,
        "warehouseName": session.warehouse,
        "roleName": session.role,
    }


async def _renew(account: Account, request: web.Request, body: bytes) -> web.Response:
    try:
        session = account.sessions.renew(token_of(request))
    except SnowflakeError as error:
        return web.json_response(failed(error.code, error.state, error.message))
    account.journal.count(renewals=1)
    life = int(account.sessions.lifetime)
    return web.json_response(
        ok(
            {
                "sessionToken": session.token,
                "validityInSecondsST": life,
                "masterToken": session.master,
                "validityInSecondsMT": 14_400,
                "sessionId": session.number,
            }
        )
    )


async def _logout(account: Account, request: web.Request, body: bytes) -> web.Response:
    try:
        session = account.sessions.get(token_of(request))
    except SnowflakeError as error:
        return web.json_response(failed(error.code, error.state, error.message))
    await asyncio.to_thread(account.end_session, session)
    return web.json_response(ok(None))


async def _heartbeat(account: Account, request: web.Request, body: bytes) -> web.Response:
    return web.json_response(ok(None))


ROUTES = [
    ("POST", "/session/v1/login-request", "login", _login),
    ("POST", "/session/token-request", "token-request", _renew),
    ("POST", "/session/heartbeat", "heartbeat", _heartbeat),
    ("POST", "/session", "logout", _logout),
]
