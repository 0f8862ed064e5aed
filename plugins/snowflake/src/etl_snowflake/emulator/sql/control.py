"""Statements about the session itself: USE, ALTER SESSION, transactions."""

from __future__ import annotations

import re

from etl_snowflake.emulator.errors import SnowflakeError, missing
from etl_snowflake.emulator.grants import ADMIN
from etl_snowflake.emulator.names import split
from etl_snowflake.emulator.results import Result, done
from etl_snowflake.emulator.sql.context import NAME, Context, options, statement


@statement(r"(?:BEGIN|START TRANSACTION)(?: TRANSACTION| WORK)?(?: NAME \w+)?")
def _begin(context: Context, found: re.Match[str]) -> Result:
    context.account.transactions.begin(context.session)
    return done()


@statement(r"COMMIT(?: WORK| TRANSACTION)?")
def _commit(context: Context, found: re.Match[str]) -> Result:
    context.account.transactions.commit(context.session)
    return done()


@statement(r"ROLLBACK(?: WORK| TRANSACTION)?")
def _rollback(context: Context, found: re.Match[str]) -> Result:
    context.account.transactions.rollback(context.session)
    return done()


@statement(rf"USE ROLE (?P<name>{NAME})")
def _use_role(context: Context, found: re.Match[str]) -> Result:
    name = split(found["name"])[-1]
    if name not in {*context.session.user.roles, ADMIN if ADMIN in context.session.user.roles else ""}:
        raise SnowflakeError(
            "003013", "42501", f"Requested role '{name}' is not assigned to the executing user."
        )
    context.session.role = name
    return done()


@statement(r"USE SECONDARY ROLES \w+")
def _use_secondary(context: Context, found: re.Match[str]) -> Result:
    return done()


@statement(rf"USE WAREHOUSE (?P<name>{NAME})")
def _use_warehouse(context: Context, found: re.Match[str]) -> Result:
    name = split(found["name"])[-1]
    allowed = context.account.grants.has(context.session.role, "USAGE", "WAREHOUSE", name)
    if name not in context.account.catalog.warehouses or not allowed:
        raise SnowflakeError(
            "002043",
            "02000",
            "SQL compilation error:\nObject does not exist, or operation cannot be performed.",
        )
    context.session.warehouse = name
    return done()


@statement(rf"USE DATABASE (?P<name>{NAME})")
def _use_database(context: Context, found: re.Match[str]) -> Result:
    name = split(found["name"])[-1]
    context.account.grants.visible(context.session.role, name)
    schemas = context.account.catalog.schemas(name)
    context.session.database = name
    context.session.schema = "PUBLIC" if "PUBLIC" in schemas else None
    return done()


@statement(rf"USE (?P<word>SCHEMA )?(?P<name>{NAME})")
def _use_schema(context: Context, found: re.Match[str]) -> Result:
    parts = split(found["name"])
    if not found["word"] and len(parts) == 1:
        return _use_database(context, found)
    database, name = context.schema_path(found["name"])
    context.account.grants.visible(context.session.role, database, name)
    context.account.catalog.schema(database, name)
    context.session.database, context.session.schema = database, name
    return done()


@statement(r"ALTER SESSION SET (?P<rest>.+)")
def _alter_session(context: Context, found: re.Match[str]) -> Result:
    values = options(found["rest"])
    if not values:
        raise missing("Parameter", found["rest"])
    context.session.parameters.update(values)
    return done()


@statement(r"ALTER SESSION UNSET (?P<rest>.+)")
def _unset(context: Context, found: re.Match[str]) -> Result:
    for name in found["rest"].split(","):
        context.session.parameters.pop(name.strip().upper(), None)
    return done()


@statement(r"SET (?P<name>\w+) = (?P<value>.+)")
def _set(context: Context, found: re.Match[str]) -> Result:
    context.session.variables[found["name"].upper()] = found["value"].strip().strip("'")
    return done()


@statement(r"SELECT SYSTEM\$WAIT\((?P<seconds>\d+)\)")
def _wait(context: Context, found: re.Match[str]) -> Result:
    return done(f"waited {found['seconds']} seconds")
