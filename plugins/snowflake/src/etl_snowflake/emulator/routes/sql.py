"""The routes of the SQL driver for statements: run at once or later, results, telemetry."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import Any

from aiohttp import web

from etl_snowflake.emulator.account import Account
from etl_snowflake.emulator.errors import SnowflakeError
from etl_snowflake.emulator.results import Result
from etl_snowflake.emulator.routes.answers import failed, ok, parameters_of, token_of
from etl_snowflake.emulator.sessions import Session
from etl_snowflake.emulator.sql import engine

_RUNNING, _IN_PROGRESS = "333333", "333334"
_KEPT = 50


async def _query(account: Account, request: web.Request, body: bytes) -> web.Response:
    try:
        session = account.sessions.get(token_of(request))
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
    done, _ = await asyncio.wait({_ANSWERS[key]}, timeout=account.faults.switches.answer_within)
    if done:
        return _ANSWERS[key].result()
    query_id = str(uuid.uuid4())
    _RESULTS[query_id] = _ANSWERS[key]
    return _progress(query_id, _RUNNING)


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
        "parameters": parameters_of(session),
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


_RESULTS: dict[str, asyncio.Future[dict[str, Any]]] = {}


def _later(account: Account, session: Session, asked: dict[str, Any]) -> dict[str, Any]:
    query_id = str(uuid.uuid4())
    _RESULTS[query_id] = asyncio.create_task(asyncio.to_thread(_run, account, session, asked))
    return _progress(query_id)


def _progress(query_id: str, code: str = _IN_PROGRESS) -> dict[str, Any]:
    url = f"/queries/{query_id}/result"
    data = {"queryId": query_id, "getResultUrl": url, "queryAbortsAfterSecs": 300, "progressDesc": None}
    return {
        "data": data,
        "code": code,
        "message": "Query execution in progress.",
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


async def _nothing(account: Account, request: web.Request, body: bytes) -> web.Response:
    return web.json_response(ok(None))


ROUTES = [
    ("POST", "/queries/v1/query-request", "sql", _query),
    ("POST", "/queries/v1/abort-request", "abort", _nothing),
    ("GET", "/queries/{query}/result", "result", _result),
    ("GET", "/monitoring/queries{slashes:/+}{query}", "monitoring", _monitoring),
    ("POST", "/telemetry/send", "telemetry", _nothing),
    ("POST", "/telemetry/send/sessionless", "telemetry", _nothing),
]
