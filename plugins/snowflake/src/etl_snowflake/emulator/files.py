"""Staged files, on disk: those of PUT and those of streaming clients."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote


@dataclass(frozen=True)
class StagedFile:
    """One file: its path below the prefix that was asked for, and what LIST shows of it."""

    key: str
    size: int
    modified: float
    md5: str


class Files:
    """Bytes by key; a key is a prefix (one per stage) and a path."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        parts = [part for part in key.split("/") if part]
        if any(part in {".", ".."} for part in parts):
            raise ValueError("a key leads out of its stage")
        return self._root.joinpath(*(quote(part, safe="") for part in parts))

    def path(self, key: str) -> Path:
        """Give where a file is."""
        return self._path(key)

    def put(self, key: str, body: bytes) -> str:
        """Keep a file, and give its MD5."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return _md5(body)

    def get(self, key: str) -> bytes | None:
        """Give a file's bytes."""
        path = self._path(key)
        return path.read_bytes() if path.is_file() else None

    def below(self, prefix: str, start: str = "") -> Iterator[StagedFile]:
        """Give the files of a prefix whose path begins with a text, in order."""
        root = self._path(prefix)
        for path in sorted(each for each in root.rglob("*") if each.is_file()) if root.is_dir() else ():
            key = unquote(str(path.relative_to(root)))
            if key.startswith(start):
                yield _described(key, path)

    def find(self, prefix: str, key: str) -> StagedFile | None:
        """Give one file of a prefix, by its whole path."""
        path = self._path(f"{prefix}/{key}")
        return _described(key, path) if path.is_file() else None

    def remove(self, prefix: str, start: str) -> list[str]:
        """Remove files as `below` finds them, and give their paths."""
        removed = [each.key for each in self.below(prefix, start)]
        for key in removed:
            self._path(f"{prefix}/{key}").unlink(missing_ok=True)
        return removed


def _described(key: str, path: Path) -> StagedFile:
    state = path.stat()
    return StagedFile(key, state.st_size, state.st_mtime, _md5(path.read_bytes()))


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def shown_time(moment: float) -> str:
    """Write a file's time as LIST does."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(moment))
