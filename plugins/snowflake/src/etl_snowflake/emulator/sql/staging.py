"""Stages in statements: PUT, LIST, REMOVE, and the references `@stage/path` that they and COPY use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from etl_snowflake.emulator.errors import missing, syntax
from etl_snowflake.emulator.files import shown_time
from etl_snowflake.emulator.names import physical
from etl_snowflake.emulator.results import Result, listing, texts
from etl_snowflake.emulator.sql.context import NAME, Context, options, statement

STAGE = rf"(?:'@(?:[^']|'')*'|@(?:~|%?{NAME})(?:/[^\s(),;']*)?)"
_REFERENCE = re.compile(rf"@(?P<stage>~|%?{NAME})(?:/(?P<path>.*))?\Z", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """A stage and a path in it: `prefix` is the stage's own in the store of files."""

    prefix: str
    path: str
    name: str
    stage: tuple[str, str, str] | None = None


def reference(context: Context, text: str, privilege: str) -> Reference:
    """Read `@stage/path`, in quotes or not, and check that the role may."""
    bare = text[1:-1].replace("''", "'") if text.startswith("'") else text
    found = _REFERENCE.match(bare)
    if found is None:
        raise syntax(f"syntax error unexpected '{text}'.")
    name, path = found["stage"], (found["path"] or "").lstrip("/")
    if name == "~":
        return Reference(f"user-{physical(context.session.user.name)}", path, "~")
    if name.startswith("%"):
        table = context.table(name[1:])
        return Reference(f"table{table.identity}", path, name)
    where = context.path(name)
    context.account.grants.visible(context.session.role, *where[:2])
    stage = context.account.catalog.schema(*where[:2]).stages.get(where[2])
    if stage is None or stage.session not in {0, context.session.number}:
        raise missing("Stage", *where)
    context.require(privilege, "STAGE", *where)
    return Reference(stage.prefix, path, where[2].lower(), where)


@statement(rf"(?:LIST|LS) (?P<stage>{STAGE})(?P<rest>.*)")
def _list(context: Context, found: re.Match[str]) -> Result:
    where = reference(context, found["stage"], "READ")
    files = context.account.files.below(where.prefix, where.path)
    rows = [(f"{where.name}/{each.key}", each.size, each.md5, shown_time(each.modified)) for each in files]
    return listing(texts("name", "size", "md5", "last_modified"), rows)


@statement(rf"(?:REMOVE|RM) (?P<stage>{STAGE})(?P<rest>.*)")
def _remove(context: Context, found: re.Match[str]) -> Result:
    where = reference(context, found["stage"], "WRITE")
    removed = context.account.files.remove(where.prefix, where.path)
    context.account.journal.count(files_removed=len(removed))
    return listing(texts("name", "result"), [(f"{where.name}/{key}", "removed") for key in removed])


@statement(rf"PUT (?P<file>'file://(?:[^']|'')*'|file://\S+) (?P<stage>{STAGE})(?P<rest>.*)")
def _put(context: Context, found: re.Match[str]) -> Result:
    """Tell the client where to upload, as Snowflake does: an S3 bucket that is the emulator itself."""
    where = reference(context, found["stage"], "WRITE")
    settings = options(found["rest"])
    file = found["file"].strip("'").removeprefix("file://")
    path = where.path if not where.path or where.path.endswith("/") else where.path + "/"
    extra: dict[str, Any] = {
        "command": "UPLOAD",
        "src_locations": [file],
        "parallel": int(settings.get("PARALLEL", "4")),
        "threshold": 209_715_200,
        "autoCompress": settings.get("AUTO_COMPRESS", "TRUE").upper() == "TRUE",
        "overwrite": settings.get("OVERWRITE", "FALSE").upper() == "TRUE",
        "sourceCompression": settings.get("SOURCE_COMPRESSION", "AUTO_DETECT").lower(),
        "clientShowEncryptionParameter": False,
        "encryptionMaterial": [],
        "stageInfo": {
            "locationType": "S3",
            "location": f"{BUCKET}/{where.prefix}/{path}",
            "path": f"{where.prefix}/{path}",
            "region": "us-east-1",
            "storageAccount": None,
            "isClientSideEncrypted": False,
            "creds": dict(CREDENTIALS),
            "presignedUrl": None,
            "endPoint": context.account.address,
            "useS3RegionalUrl": False,
            "useRegionalUrl": False,
            "useVirtualUrl": False,
            "volumeHash": None,
        },
    }
    return Result([], extra=extra)


BUCKET = "emulator-stages"
CREDENTIALS = {
    "AWS_KEY_ID": "EMULATORKEY",
    "AWS_SECRET_KEY": "emulator",
    "AWS_TOKEN": "emulator",
    "AWS_ID": "EMULATORKEY",
    "AWS_KEY": "emulator",
}
