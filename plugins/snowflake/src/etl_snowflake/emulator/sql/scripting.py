"""Blocks of Snowflake Scripting, as far as tasks need them: statements in order, and one handler."""

from __future__ import annotations

import re

from sqlglot import TokenType
from sqlglot.dialects.snowflake import Snowflake

from etl_snowflake.emulator.errors import SnowflakeError
from etl_snowflake.emulator.results import Result, done
from etl_snowflake.emulator.sql.context import Context, statement

_HANDLER = re.compile(r"\bEXCEPTION\s+WHEN\s+OTHER\s+THEN\b", re.IGNORECASE)


@statement(r"BEGIN (?P<body>(?:BEGIN TRANSACTION\s*;|(?!TRANSACTION\b|WORK\b|NAME\b)).+)\bEND")
def _block(context: Context, found: re.Match[str]) -> Result:
    """Run the statements; where one fails, those of the handler, of which RAISE raises the failure."""
    parts = _HANDLER.split(found["body"], maxsplit=1)
    try:
        _run(context, parts[0])
    except SnowflakeError as failure:
        if len(parts) == 1:
            raise
        _run(context, parts[1], failure)
    return done("anonymous block")


def _run(context: Context, text: str, failure: SnowflakeError | None = None) -> None:
    from etl_snowflake.emulator.sql import engine  # it imports this module

    for each in _statements(text):
        if failure is not None and each.upper() == "RAISE":
            raise failure
        engine.dispatch(Context(context.account, context.session, each, context.query_id, {}))


def _statements(text: str) -> list[str]:
    found, start = [], 0
    for token in Snowflake().tokenize(text):
        if token.token_type is TokenType.SEMICOLON:
            found.append(text[start : token.start].strip())
            start = token.end + 1
    return [each for each in [*found, text[start:].strip()] if each]
