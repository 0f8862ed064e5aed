"""Databases, schemas, stages, warehouses, users and grants."""

from __future__ import annotations

import re

from etl_snowflake.emulator.auth import fingerprint, public_key
from etl_snowflake.emulator.catalog import Stage
from etl_snowflake.emulator.errors import forbidden, missing, present, syntax
from etl_snowflake.emulator.grants import ADMIN
from etl_snowflake.emulator.names import physical, shown, split
from etl_snowflake.emulator.results import Result, done
from etl_snowflake.emulator.sql.context import NAME, Context, options, statement


@statement(
    rf"CREATE (?P<replace>OR REPLACE )?(?:TRANSIENT )?DATABASE (?P<exists>IF NOT EXISTS )?(?P<name>{NAME})"
    rf"(?P<rest>.*)"
)
def _create_database(context: Context, found: re.Match[str]) -> Result:
    name = split(found["name"])[-1]
    context.require("CREATE DATABASE", "ACCOUNT")
    if name in context.account.catalog.databases:
        if found["exists"]:
            return done(f"{shown(name)} already exists, statement succeeded.")
        raise present(name)
    context.define(lambda: context.account.store.ensure_schema(name, "PUBLIC"))
    context.session.database, context.session.schema = name, "PUBLIC"
    return done(f"Database {shown(name)} successfully created.")


@statement(
    rf"CREATE (?P<replace>OR REPLACE )?(?:TRANSIENT )?SCHEMA (?P<exists>IF NOT EXISTS )?(?P<name>{NAME})"
    rf"(?P<rest>.*)"
)
def _create_schema(context: Context, found: re.Match[str]) -> Result:
    database, name = context.schema_path(found["name"])
    schemas = context.account.catalog.schemas(database)
    context.account.grants.visible(context.session.role, database)
    if name in schemas and found["exists"]:
        return done(f"{shown(name)} already exists, statement succeeded.")
    context.require("CREATE SCHEMA", "DATABASE", database)

    def work() -> None:
        if name in schemas and found["replace"]:
            context.account.store.drop_schema(database, name)
        if name in schemas:
            raise present(name)
        context.account.store.ensure_schema(database, name)

    context.define(work)
    context.session.database, context.session.schema = database, name
    return done(f"Schema {shown(name)} successfully created.")


@statement(rf"DROP SCHEMA (?P<exists>IF EXISTS )?(?P<name>{NAME})(?: CASCADE| RESTRICT)?")
def _drop_schema(context: Context, found: re.Match[str]) -> Result:
    database, name = context.schema_path(found["name"])
    if name not in context.account.catalog.schemas(database):
        if found["exists"]:
            return done()
        raise missing("Schema", database, name)
    context.require("OWNERSHIP", "SCHEMA", database, name)
    context.define(lambda: context.account.store.drop_schema(database, name))
    return done(f"{shown(name)} successfully dropped.")


@statement(
    rf"CREATE (?P<replace>OR REPLACE )?(?P<temporary>(?:TEMPORARY|TEMP) )?STAGE (?P<exists>IF NOT EXISTS )?"
    rf"(?P<name>{NAME})(?P<rest>.*)"
)
def _create_stage(context: Context, found: re.Match[str]) -> Result:
    database, schema, name = path = context.path(found["name"])
    stages = context.account.catalog.schema(database, schema).stages
    context.account.grants.visible(context.session.role, database, schema)
    if name in stages and found["exists"]:
        return done(f"{shown(name)} already exists, statement succeeded.")
    context.require("CREATE STAGE", "SCHEMA", database, schema)
    if name in stages and not found["replace"]:
        raise present(*path)
    if "URL" in options(found["rest"]):
        raise syntax("external stages are not emulated")
    session = context.session.number if found["temporary"] else 0
    prefix = f"stage{context.account.catalog.number()}-{physical(name)}"
    prefix = re.sub(r"[^\w.-]", "_", prefix)
    stages[name] = Stage(database, schema, name, prefix, session)
    context.define(lambda: None)
    return done(f"Stage area {shown(name)} successfully created.")


@statement(rf"DROP STAGE (?P<exists>IF EXISTS )?(?P<name>{NAME})")
def _drop_stage(context: Context, found: re.Match[str]) -> Result:
    database, schema, name = path = context.path(found["name"])
    stage = context.account.catalog.schema(database, schema).stages.pop(name, None)
    if stage is None and not found["exists"]:
        raise missing("Stage", *path)
    if stage is not None:
        context.account.files.remove(stage.prefix, "")
    context.define(lambda: None)
    return done(f"{shown(name)} successfully dropped.")


@statement(
    rf"CREATE (?:OR REPLACE )?(?:TEMPORARY |TEMP )?FILE FORMAT (?:IF NOT EXISTS )?(?P<name>{NAME})"
    rf"(?P<rest>.*)"
)
def _create_format(context: Context, found: re.Match[str]) -> Result:
    if options(found["rest"]).get("TYPE", "").upper() != "PARQUET":
        raise syntax("only Parquet is emulated")
    return done(f"File format {shown(split(found['name'])[-1])} successfully created.")


@statement(rf"CREATE (?:OR REPLACE )?WAREHOUSE (?P<exists>IF NOT EXISTS )?(?P<name>{NAME})(?P<rest>.*)")
def _create_warehouse(context: Context, found: re.Match[str]) -> Result:
    name = split(found["name"])[-1]
    if name not in context.account.catalog.warehouses:
        context.account.catalog.warehouses.append(name)
    context.define(lambda: None)
    context.session.warehouse = name
    return done(f"Warehouse {shown(name)} successfully created.")


_GRANT = (
    rf"(?P<privileges>[A-Z ,]+?) ON (?P<kind>WAREHOUSE|DATABASE|SCHEMA|TABLE|STAGE|TASK|ACCOUNT|PIPE)"
    rf"(?: (?P<name>{NAME}))? (?:TO|FROM) (?:ROLE )?(?P<role>{NAME})(?: WITH GRANT OPTION)?"
)


@statement(rf"(?P<word>GRANT|REVOKE) {_GRANT}")
def _grant(context: Context, found: re.Match[str]) -> Result:
    if context.session.role != ADMIN:
        raise forbidden(found["kind"], found["name"] or "account")
    kind, role = found["kind"].upper(), split(found["role"])[-1]
    change = (
        context.account.grants.grant if found["word"].upper() == "GRANT" else context.account.grants.revoke
    )
    for privilege in found["privileges"].split(","):
        change(" ".join(privilege.split()), kind, _granted(context, kind, found["name"]), role)
    return done()


def _granted(context: Context, kind: str, name: str | None) -> str:
    if kind == "ACCOUNT" or name is None:
        return ""
    if kind in {"WAREHOUSE", "DATABASE"}:
        return ".".join(split(name))
    return ".".join(context.schema_path(name) if kind == "SCHEMA" else context.path(name))


@statement(rf"GRANT ROLE (?P<role>{NAME}) TO (?:USER|ROLE) (?P<name>{NAME})")
def _grant_role(context: Context, found: re.Match[str]) -> Result:
    user = context.account.door.users.get(split(found["name"])[-1])
    if user is not None:
        user.roles.append(split(found["role"])[-1])
    return done()


@statement(rf"CREATE ROLE (?:IF NOT EXISTS )?(?P<name>{NAME})")
def _create_role(context: Context, found: re.Match[str]) -> Result:
    context.account.roles.add(split(found["name"])[-1])
    return done(f"Role {found['name']} successfully created.")


@statement(rf"ALTER USER(?P<exists> IF EXISTS)? (?P<name>{NAME}) (?P<word>SET|UNSET) (?P<rest>.+)")
def _alter_user(context: Context, found: re.Match[str]) -> Result:
    user = context.account.door.users.get(split(found["name"])[-1])
    if user is None:
        raise missing("User", *split(found["name"]))
    names = ["RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2"]
    if found["word"].upper() == "UNSET":
        for number, name in enumerate(names):
            if re.search(rf"\b{name}\b", found["rest"], re.IGNORECASE):
                user.keys[number] = None
        return done()
    values = options(found["rest"])
    for number, name in enumerate(names):
        if name in values:
            user.keys[number] = public_key(values[name])
            context.account.journal.count(keys_changed=1)
    return done(f"{shown(user.name)} {' '.join(fingerprint(key) for key in user.keys if key)}")
