"""What answers to the SQL driver have in common."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from etl_snowflake.emulator.sessions import Session


def failed(code: str, state: str, message: str, query_id: str | None = None) -> dict[str, Any]:
    """Give the body of an answer that says no; its HTTP status is 200."""
    data = {"errorCode": code, "sqlState": state, "internalError": False, "queryId": query_id, "age": 0}
    return {"data": data, "code": code, "message": message, "success": False, "headers": None}


def ok(data: Any) -> dict[str, Any]:
    """Give the body of an answer that says yes."""
    return {"data": data, "code": None, "message": None, "success": True}


def parameters_of(session: Session) -> list[dict[str, Any]]:
    """Give a session's parameters, as answers show them."""
    return [{"name": name, "value": value} for name, value in session.parameters.items()]


def token_of(request: web.Request) -> str:
    """Give the token of a request."""
    value = request.headers.get("Authorization", "")
    return value.partition('Token="')[2].rstrip('"')
