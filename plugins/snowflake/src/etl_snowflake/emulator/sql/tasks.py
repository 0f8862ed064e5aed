"""Tasks: CREATE, ALTER, EXECUTE and DROP TASK. The body is kept as written, and is what runs."""

from __future__ import annotations

import re

from etl_snowflake.emulator.catalog import Task
from etl_snowflake.emulator.errors import missing, present, syntax
from etl_snowflake.emulator.names import shown, split
from etl_snowflake.emulator.results import Result, done
from etl_snowflake.emulator.sql.context import NAME, Context, options, statement

_SCHEDULE = re.compile(r"(\d+)\s*(?:M|MINUTES?|SECONDS?|S|HOURS?|H)\Z|USING CRON .+", re.IGNORECASE)


@statement(
    rf"CREATE (?P<replace>OR REPLACE )?TASK (?P<exists>IF NOT EXISTS )?(?P<name>{NAME})(?P<rest>.*?)\bAS "
    rf"(?P<body>.+)"
)
def _create(context: Context, found: re.Match[str]) -> Result:
    database, schema, name = path = context.path(found["name"])
    tasks = context.account.catalog.schema(database, schema).tasks
    if name in tasks and found["exists"]:
        return done(f"{shown(name)} already exists, statement succeeded.")
    context.require("CREATE TASK", "SCHEMA", database, schema)
    if name in tasks and not found["replace"]:
        raise present(*path)
    settings = options(found["rest"])
    schedule = settings.get("SCHEDULE")
    if schedule is not None and not _SCHEDULE.match(schedule):
        raise syntax(f"invalid value '{schedule}' for SCHEDULE")
    warehouse = settings.get("WAREHOUSE")
    warehouse = split(warehouse)[-1] if warehouse else None
    tasks[name] = Task(
        *path, found["body"].strip(), schedule, warehouse, context.session.role, options=settings
    )
    context.define(lambda: None)
    return done(f"Task {shown(name)} successfully created.")


def _find(context: Context, text: str) -> Task:
    database, schema, name = path = context.path(text)
    context.account.grants.visible(context.session.role, database, schema)
    task = context.account.catalog.schema(database, schema).tasks.get(name)
    if task is None:
        raise missing("Task", *path)
    return task


@statement(rf"ALTER TASK (?P<exists>IF EXISTS )?(?P<name>{NAME}) (?P<word>RESUME|SUSPEND)")
def _switch(context: Context, found: re.Match[str]) -> Result:
    task = _find(context, found["name"])
    context.require("OPERATE", "TASK", task.database, task.schema, task.name)
    if found["word"].upper() == "RESUME":
        context.require("EXECUTE TASK", "ACCOUNT")
    task.state = "started" if found["word"].upper() == "RESUME" else "suspended"
    context.define(lambda: None)
    return done()


@statement(rf"ALTER TASK (?P<exists>IF EXISTS )?(?P<name>{NAME}) MODIFY AS (?P<body>.+)")
def _modify(context: Context, found: re.Match[str]) -> Result:
    task = _find(context, found["name"])
    task.body = found["body"].strip()
    context.define(lambda: None)
    return done()


@statement(rf"ALTER TASK (?P<exists>IF EXISTS )?(?P<name>{NAME}) SET (?P<rest>.+)")
def _set(context: Context, found: re.Match[str]) -> Result:
    task, settings = _find(context, found["name"]), options(found["rest"])
    task.schedule = settings.get("SCHEDULE", task.schedule)
    if "WAREHOUSE" in settings:
        task.warehouse = split(settings["WAREHOUSE"])[-1]
    context.define(lambda: None)
    return done()


@statement(rf"EXECUTE TASK (?P<name>{NAME})")
def _execute(context: Context, found: re.Match[str]) -> Result:
    """Ask for one run, at once; the answer does not wait for it."""
    task = _find(context, found["name"])
    context.require("OPERATE", "TASK", task.database, task.schema, task.name)
    context.require("EXECUTE TASK", "ACCOUNT")
    context.account.scheduler.ask(task)
    return done(f"Task {shown(task.name)} is scheduled to run immediately.")


@statement(rf"DROP TASK (?P<exists>IF EXISTS )?(?P<name>{NAME})")
def _drop(context: Context, found: re.Match[str]) -> Result:
    database, schema, name = path = context.path(found["name"])
    if context.account.catalog.schema(database, schema).tasks.pop(name, None) is None and not found["exists"]:
        raise missing("Task", *path)
    context.define(lambda: None)
    return done(f"{shown(name)} successfully dropped.")


@statement(rf"(?:DESCRIBE|DESC) TASK (?P<name>{NAME})")
def _describe(context: Context, found: re.Match[str]) -> Result:
    task = _find(context, found["name"])
    return done(task.body)
