"""The routes of the SQL driver: login, queries, results, log-out."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

from aiohttp import web

from etl_snowflake.emulator.account import Account, folded
from etl_snowflake.emulator.auth import Refused
from etl_snowflake.emulator.errors import SnowflakeError
from etl_snowflake.emulator.results import Result
from etl_snowflake.emulator.sessions import Session
from etl_snowflake.emulator.sql import engine

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
_IN_PROGRESS = "333334"
_KEPT = 50


def failed(code: str, state: str, message: str, query_id: str | None = None) -> dict[str, Any]:
    """Give the body of an answer that says no; its HTTP status is 200."""
    data = {"errorCode": code, "sqlState": state, "internalError": False, "queryId": query_id, "age": 0}
    return {"data": data, "code": code, "message": message, "success": False, "headers": None}


def ok(data: Any) -> dict[str, Any]:
    """Give the body of an answer that says yes."""
    return {"data": data, "code": None, "message": None, "success": True}


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
        "parameters": _parameters(session),
        "sessionInfo": _info(session),
        "idToken": None,
        "idTokenValidityInSeconds": 0,
        "responseData": None,
        "mfaToken": None,
        "mfaTokenValidityInSeconds": 0,
    }


def _parameters(session: Session) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in session.parameters.items()]


def _info(session: Session) -> dict[str, Any]:
    return {
        "databaseName": session.database,
        "schemaName": session.schema,
        "warehouseName": session.warehouse,
        "roleName": session.role,
    }


def _token(request: web.Request) -> str:
    value = request.headers.get("Authorization", "")
    return value.partition('Token="')[2].rstrip('"')


async def _renew(account: Account, request: web.Request, body: bytes) -> web.Response:
    try:
        session = account.sessions.renew(_token(request))
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


async def _query(account: Account, request: web.Request, body: bytes) -> web.Response:
    try:
        session = account.sessions.get(_token(request))
    except SnowflakeError as error:
        return web.json_response(failed(error.code, error.state, error.message))
    asked = json.loads(body)
    session.parameters.update(asked.get("parameters") or {})
    if asked.get("asyncExec"):
        return web.json_response(_later(account, session, asked))
    return web.json_response(await _once(account, session, asked, request.query.get("requestId")))


_ANSWERS: dict[tuple[int, str], asyncio.Future[dict[str, Any]]] = {}


async def _once(
    account: Account, session: Session, asked: dict[str, Any], request_id: str | None
) -> dict[str, Any]:
    """Run a statement; a request that a client repeats, having got no answer, gets that of the first."""
    key = (session.number, request_id or str(uuid.uuid4()))
    if key in _ANSWERS:
        account.journal.count(requests_repeated=1)
    else:
        _ANSWERS[key] = asyncio.ensure_future(asyncio.to_thread(_run, account, session, asked))
        if len(_ANSWERS) > _KEPT:
            del _ANSWERS[next(iter(_ANSWERS))]
    return await asyncio.shield(_ANSWERS[key])


def _run(account: Account, session: Session, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        result = engine.run(
            account,
            session,
            str(asked.get("sqlText", "")),
            bindings=asked.get("bindings") or {},
            describe=bool(asked.get("describeOnly")),
        )
        return ok(_described(session, result))
    except SnowflakeError as error:
        return failed(error.code, error.state, error.message, str(uuid.uuid4()))


def _described(session: Session, result: Result) -> dict[str, Any]:
    return {
        "parameters": _parameters(session),
        "finalDatabaseName": session.database,
        "finalSchemaName": session.schema,
        "finalWarehouseName": session.warehouse,
        "finalRoleName": session.role,
        "numberOfBinds": 0,
        "arrayBindSupported": False,
        "version": 1,
        "sendResultTime": int(time.time() * 1000),
        "queryAborterName": None,
        **result.to_wire(),
    }


_RESULTS: dict[str, asyncio.Task[dict[str, Any]]] = {}


def _later(account: Account, session: Session, asked: dict[str, Any]) -> dict[str, Any]:
    query_id = str(uuid.uuid4())
    _RESULTS[query_id] = asyncio.create_task(asyncio.to_thread(_run, account, session, asked))
    return _progress(query_id)


def _progress(query_id: str) -> dict[str, Any]:
    url = f"/queries/{query_id}/result"
    data = {"queryId": query_id, "getResultUrl": url, "queryAbortsAfterSecs": 300, "progressDesc": None}
    return {
        "data": data,
        "code": _IN_PROGRESS,
        "message": "Asynchronous execution in progress.",
        "success": True,
    }


async def _result(account: Account, request: web.Request, body: bytes) -> web.Response:
    query_id = request.match_info["query"]
    task = _RESULTS.get(query_id)
    if task is None:
        return web.json_response(failed("000709", "02000", f"Statement {query_id} not found"))
    done, _ = await asyncio.wait({task}, timeout=5)
    if not done:
        return web.json_response(_progress(query_id))
    answer = dict(task.result())
    if answer["success"]:
        answer["data"] = {**answer["data"], "queryId": query_id}
    return web.json_response(answer)


async def _monitoring(account: Account, request: web.Request, body: bytes) -> web.Response:
    task = _RESULTS.get(request.match_info["query"])
    status = "RUNNING" if task is not None and not task.done() else "SUCCESS"
    if task is not None and task.done() and not task.result()["success"]:
        status = "FAILED_WITH_ERROR"
    found = {"id": request.match_info["query"], "status": status, "state": status}
    return web.json_response(ok({"queries": [found]}))


async def _logout(account: Account, request: web.Request, body: bytes) -> web.Response:
    try:
        session = account.sessions.get(_token(request))
    except SnowflakeError as error:
        return web.json_response(failed(error.code, error.state, error.message))
    await asyncio.to_thread(account.end_session, session)
    return web.json_response(ok(None))


async def _nothing(account: Account, request: web.Request, body: bytes) -> web.Response:
    return web.json_response(ok(None))


ROUTES = [
    ("POST", "/session/v1/login-request", "login", _login),
    ("POST", "/session/token-request", "token-request", _renew),
    ("POST", "/session/heartbeat", "heartbeat", _nothing),
    ("POST", "/session", "logout", _logout),
    ("POST", "/queries/v1/query-request", "sql", _query),
    ("POST", "/queries/v1/abort-request", "abort", _nothing),
    ("GET", "/queries/{query}/result", "result", _result),
    ("GET", "/monitoring/queries{slashes:/+}{query}", "monitoring", _monitoring),
    ("POST", "/telemetry/send", "telemetry", _nothing),
    ("POST", "/telemetry/send/sessionless", "telemetry", _nothing),
]
