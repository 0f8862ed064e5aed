"""One statement, from its text to its result: who handles it, and what DuckDB's refusals mean to a client."""

from __future__ import annotations

import re
import time
import traceback
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from etl_snowflake.emulator.errors import SnowflakeError, invalid_identifier, syntax
from etl_snowflake.emulator.journal import Statement
from etl_snowflake.emulator.names import logical
from etl_snowflake.emulator.results import Result
from etl_snowflake.emulator.sessions import Session
from etl_snowflake.emulator.sql import control, copying, objects, scripting, show, staging, tables, tasks
from etl_snowflake.emulator.sql.altering import alter_table
from etl_snowflake.emulator.sql.context import HANDLERS, Context
from etl_snowflake.emulator.sql.queries import run_tree

if TYPE_CHECKING:
    from etl_snowflake.emulator.account import Account

_COMMENT = re.compile(r"\s*(--[^\n]*\n|//[^\n]*\n|/\*.*?\*/)", re.DOTALL)
#: Members of an IN list, and bytes of a statement's text.
_LONGEST_LIST = 16_384
_LONGEST_TEXT = 1 << 20
HANDLING = (control, copying, objects, scripting, show, staging, tables, tasks)


def run(
    account: Account,
    session: Session,
    text: str,
    *,
    bindings: dict[str, dict[str, Any]] | None = None,
    by: str = "client",
    describe: bool = False,
) -> Result:
    """Carry a statement out in a session; raises SnowflakeError, with `query_id` set."""
    query_id = str(uuid.uuid4())
    context = Context(account, session, _bare(text), query_id, bindings or {})
    record = account.journal.add(Statement(text, session.number, query_id, session.role, by))
    account.journal.count(statements=1)
    began = time.monotonic()
    try:
        with session.busy:
            result = _guarded(context, describe=describe)
    except SnowflakeError as error:
        record.error = error.code
        raise
    finally:
        session.used = time.monotonic()
        record.seconds = session.used - began
    record.rows = result.count
    session.variables["LAST_QUERY_ID"] = query_id
    result.extra.setdefault("queryId", query_id)
    return result


def _bare(text: str) -> str:
    while found := _COMMENT.match(text):
        text = text[found.end() :]
    return text.strip().rstrip(";").rstrip()


def _guarded(context: Context, *, describe: bool) -> Result:
    try:
        return dispatch(context, describe=describe)
    except duckdb.Error as error:
        raise meaning(error) from error
    except ValueError as error:
        raise syntax(f"syntax error: {error}") from error
    except SnowflakeError:
        raise
    except Exception as error:
        traceback.print_exc()  # a bug of the emulator: its log says where
        raise SnowflakeError("000603", "XX000", f"Processing aborted by error: {error!r}") from error


def dispatch(context: Context, *, describe: bool = False) -> Result:
    """Find who handles a statement, and let it."""
    if not context.text:
        raise SnowflakeError("000900", "42601", "SQL compilation error:\nEmpty SQL statement.")
    if len(context.text.encode()) > _LONGEST_TEXT:
        raise syntax(f"the statement is longer than {_LONGEST_TEXT} bytes.")
    for pattern, handler in HANDLERS:
        if found := pattern.match(context.text):
            return handler(context, found)
    tree = _parse(context.text)
    if isinstance(tree, exp.Create) and tree.kind in {"TABLE", "VIEW"}:
        return tables.create_table(context, tree)
    if isinstance(tree, exp.Alter) and tree.args.get("kind") == "TABLE":
        return alter_table(context, tree)
    if isinstance(tree, exp.Comment):
        return tables.comment(context, tree)
    result = run_tree(context, tree, describe=describe)
    if result is None:
        raise syntax(f"syntax error line 1 at position 0 unexpected '{context.text.split()[0]}'.")
    return result


def _parse(text: str) -> exp.Expr:
    try:
        trees = sqlglot.parse(text, read="snowflake")
    except SqlglotError as error:
        first = (getattr(error, "errors", None) or [{}])[0]
        line, column, word = first.get("line", 1), first.get("col", 0), first.get("highlight", "")
        raise syntax(f"syntax error line {line} at position {column} unexpected '{word}'.") from error
    if len(trees) != 1 or trees[0] is None:
        text = f"Actual statement count {len(trees)} did not match the desired statement count 1."
        raise SnowflakeError("000008", "0A000", text)
    if any(len(each.expressions) > _LONGEST_LIST for each in trees[0].find_all(exp.In)):
        raise syntax(f"maximum number of expressions in a list exceeded, expected at most {_LONGEST_LIST}.")
    return trees[0]


_MEANINGS: tuple[tuple[str, Callable[[re.Match[str]], SnowflakeError]], ...] = (
    (r'Referenced column "([^"]+)"', lambda found: invalid_identifier(logical(found[1]))),
    (r'column(?: named)? "([^"]+)"', lambda found: invalid_identifier(logical(found[1]))),
    (
        r"(?:Scalar|Table|Aggregate) (?:Function|Macro) with name (\S+)",
        lambda found: SnowflakeError(
            "002140", "42601", f"SQL compilation error:\nUnknown function {found[1].upper()}"
        ),
    ),
    (
        r"NOT NULL constraint failed: \S+\.(\S+)",
        lambda found: SnowflakeError("100072", "22000", "NULL result in a non-nullable column"),
    ),
)


def meaning(error: duckdb.Error) -> SnowflakeError:
    """Say in Snowflake's codes what DuckDB refused; DuckDB's own words follow."""
    text = str(error)
    for pattern, make in _MEANINGS:
        if found := re.search(pattern, text):
            return make(found)
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return SnowflakeError("100038", "22018", f"Numeric value or literal is not recognized: {text}")
    return SnowflakeError("001003", "42000", f"SQL compilation error:\n{text}")
