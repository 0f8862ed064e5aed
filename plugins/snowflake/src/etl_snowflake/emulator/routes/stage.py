"""The bucket that stages live in: what S3 answers to PUT, HEAD, GET and DELETE of single objects."""

from __future__ import annotations

import asyncio
import hashlib

from aiohttp import web

from etl_snowflake.emulator.account import Account
from etl_snowflake.emulator.sql.staging import BUCKET

STREAMS = "emulator-streams"


async def _put(account: Account, request: web.Request, body: bytes) -> web.Response:
    content = _unchunked(body) if "aws-chunked" in request.headers.get("Content-Encoding", "") else body
    digest = await asyncio.to_thread(account.files.put, request.match_info["key"], content)
    account.journal.count(files_put=1, bytes_staged=len(content))
    return web.Response(headers={"ETag": f'"{digest}"', "x-amz-request-id": "emulator"})


async def _blob(account: Account, request: web.Request, body: bytes) -> web.Response:
    content = _unchunked(body) if "aws-chunked" in request.headers.get("Content-Encoding", "") else body
    key = f"{STREAMS}/{request.match_info['key']}"
    digest = await asyncio.to_thread(account.files.put, key, content)
    account.journal.count(blobs_put=1, bytes_blobs=len(content))
    return web.Response(headers={"ETag": f'"{digest}"', "x-amz-request-id": "emulator"})


async def _get(account: Account, request: web.Request, body: bytes) -> web.Response:
    content = await asyncio.to_thread(account.files.get, request.match_info["key"])
    if content is None:
        text = "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
        return web.Response(status=404, text="" if request.method == "HEAD" else text)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return web.Response(body=content, headers={"ETag": f'"{digest}"'})


def _unchunked(body: bytes) -> bytes:
    """Undo the framing of `aws-chunked`: sizes in hexadecimal before the chunks."""
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size


ROUTES = [
    ("PUT", f"/{BUCKET}/{{key:.+}}", "put", _put),
    ("HEAD", f"/{BUCKET}/{{key:.+}}", "head", _get),
    ("GET", f"/{BUCKET}/{{key:.+}}", "get", _get),
    ("PUT", f"/{STREAMS}/{{key:.+}}", "blob", _blob),
]
