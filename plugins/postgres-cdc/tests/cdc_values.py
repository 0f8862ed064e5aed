"""The C value parsers, compiled as they are and called through ctypes: no bindings, no columns."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[1] / "csrc"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
UUID_SIZE = DECIMAL_SIZE = 16


def compiler() -> str:
    """The one that built this Python, else whichever there is."""
    names = [(sysconfig.get_config_var("CC") or "cc").split()[0], "cc", "gcc", "clang"]
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, "the tests of the compiled decoder need a C compiler"
    return found


def build(directory: Path) -> ctypes.CDLL:
    library = directory / "values.so"
    files = sorted(SOURCES.glob("values_*.c"))
    command = [
        compiler(),
        "-std=gnu11",
        "-O2",
        *WARNINGS,
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        *map(str, files),
    ]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert not done.returncode, done.stderr
    return ctypes.CDLL(str(library))


class Parsers:
    """One method per function of values.h; None where it returns false."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def boolean(self, text: bytes) -> Any:
        return self._scalar("read_bool", ctypes.c_bool, text)

    def integer(self, text: bytes, bits: int, *, signed: bool = True) -> Any:
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return self._scalar("read_int", ctypes.c_int64, text, ctypes.c_int64(low), ctypes.c_int64(high))

    def float64(self, text: bytes) -> Any:
        return self._scalar("read_float64", ctypes.c_double, text)

    def float32(self, text: bytes) -> Any:
        return self._scalar("read_float32", ctypes.c_float, text)

    def date(self, text: bytes) -> Any:
        return self._scalar("read_date", ctypes.c_int32, text)

    def timestamp(self, text: bytes) -> Any:
        return self._scalar("read_timestamp", ctypes.c_int64, text, ctypes.c_bool(False))

    def timestamp_tz(self, text: bytes) -> Any:
        return self._scalar("read_timestamp", ctypes.c_int64, text, ctypes.c_bool(True))

    def time(self, text: bytes) -> Any:
        return self._scalar("read_time", ctypes.c_int64, text)

    def decimal(self, text: bytes, precision: int, scale: int) -> int | None:
        return self._decimal("read_decimal", text, precision, scale)

    def uuid(self, text: bytes) -> bytes | None:
        return self._bytes("read_uuid", text, UUID_SIZE)

    def bytea(self, text: bytes) -> bytes | None:
        return self._bytes("read_hex", text, max(len(text) - 2, 0) // 2)

    def is_utf8(self, text: bytes) -> bool:
        return bool(self._function("valid_utf8")(text, ctypes.c_size_t(len(text))))

    def binary_decimal(self, sent: bytes, precision: int, scale: int) -> int | None:
        return self._decimal("binary_decimal", sent, precision, scale)

    def binary_date(self, sent: bytes) -> Any:
        return self._scalar("binary_date", ctypes.c_int32, sent)

    def binary_timestamp(self, sent: bytes) -> Any:
        return self._scalar("binary_timestamp", ctypes.c_int64, sent)

    def binary_time(self, sent: bytes) -> Any:
        return self._scalar("binary_time", ctypes.c_int64, sent)

    def _function(self, name: str) -> Callable[..., bool]:
        function = getattr(self._library, name)
        function.restype = ctypes.c_bool
        return function  # type: ignore[no-any-return]

    def _scalar(self, name: str, type: Any, data: bytes, *more: Any) -> Any:
        out = type()
        read = self._function(name)(data, ctypes.c_size_t(len(data)), *more, ctypes.byref(out))
        return out.value if read else None

    def _bytes(self, name: str, data: bytes, size: int, *more: Any) -> bytes | None:
        out = ctypes.create_string_buffer(size + 1)
        read = self._function(name)(data, ctypes.c_size_t(len(data)), *more, out)
        assert out.raw[size] == 0, "wrote beyond the end"
        return out.raw[:size] if read else None

    def _decimal(self, name: str, data: bytes, precision: int, scale: int) -> int | None:
        found = self._bytes(name, data, DECIMAL_SIZE, precision, scale)
        return None if found is None else int.from_bytes(found, "little", signed=True)
