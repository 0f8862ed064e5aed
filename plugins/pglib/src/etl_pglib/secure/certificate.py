"""Whose a server's certificate is, by libpq's rules, and what of it channel binding binds to; no I/O."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Mapping
from typing import Any

from etl_pglib.secure.parameters import Unsupported

__all__ = ["belongs_to", "end_point", "is_address"]

#: Signature algorithms by the DER of their OIDs, and the hash that RFC 5929, section 4.1, takes for them.
_RSA = bytes.fromhex("2a864886f70d0101")
_ECDSA = bytes.fromhex("2a8648ce3d04")
_HASHES = {
    _RSA + b"\x04": "sha256",  # MD5
    _RSA + b"\x05": "sha256",  # SHA-1
    _RSA + b"\x0b": "sha256",
    _RSA + b"\x0c": "sha384",
    _RSA + b"\x0d": "sha512",
    _RSA + b"\x0e": "sha224",
    _ECDSA + b"\x01": "sha256",  # SHA-1
    _ECDSA + b"\x03\x01": "sha224",
    _ECDSA + b"\x03\x02": "sha256",
    _ECDSA + b"\x03\x03": "sha384",
    _ECDSA + b"\x03\x04": "sha512",
}
_SEQUENCE, _OID = 0x30, 0x06


def belongs_to(certificate: Mapping[str, Any], host: str) -> bool:
    """Whether a certificate (as `ssl.SSLObject.getpeercert` gives it) is `host`'s, as ``verify-full`` asks.

    Alternative names decide; the first common name does where none of the host's kind is there. This is
    libpq's rule, which for addresses differs from RFC 6125.
    """
    names = [(kind, str(value)) for kind, value in certificate.get("subjectAltName", ())]
    kind = "IP Address" if is_address(host) else "DNS"
    if not any(found == kind for found, _ in names):
        names += [("DNS", value) for value in _common_names(certificate)[:1]]
    if any("\0" in value for _, value in names):
        return False
    return any(_is_named(host, found, value) for found, value in names)


def _common_names(certificate: Mapping[str, Any]) -> list[str]:
    parts = (part for group in certificate.get("subject", ()) for part in group)
    return [str(value) for name, value in parts if name == "commonName"]


def _is_named(host: str, kind: str, value: str) -> bool:
    if kind == "DNS":
        # Letters outside ASCII are nobody's name here: some become ASCII when they are made lower case.
        same = value.lower() == host.lower() or _is_below(host.lower(), value.lower())
        return same and value.isascii()
    return kind == "IP Address" and is_address(host) and _packed(host) == _san_address(value)


def _is_below(host: str, pattern: str) -> bool:
    """Whether `pattern` is ``*.`` and what follows the first label of `host`."""
    first, dot, rest = host.partition(".")
    return len(pattern) >= 3 and pattern.startswith("*.") and bool(first and dot) and rest == pattern[2:]


def is_address(host: str) -> bool:
    """Whether libpq takes `host` for an IP address."""
    return _packed(host) is not None


def _packed(host: str) -> bytes | None:
    for read in (socket.inet_aton, lambda text: socket.inet_pton(socket.AF_INET6, text)):
        try:
            return read(host)
        except OSError:
            continue
    return None


def _san_address(value: str) -> bytes | None:
    try:
        return ipaddress.ip_address(value.strip()).packed
    except ValueError:
        return None


def end_point(der: bytes) -> bytes:
    """Return what ``tls-server-end-point`` binds to: the certificate's hash. Raises Unsupported."""
    _, start, _ = _element(der, 0, _SEQUENCE)
    _, _, signed = _element(der, start)
    _, start, _ = _element(der, signed, _SEQUENCE)
    _, start, end = _element(der, start, _OID)
    algorithm = _HASHES.get(der[start:end])
    if algorithm is None:
        raise Unsupported("the signature algorithm of the server's certificate")
    return hashlib.new(algorithm, der).digest()


def _element(der: bytes, at: int, wanted: int | None = None) -> tuple[int, int, int]:
    """Return tag, start and end of the content of the element at `at`."""
    head = der[at : at + 2]
    if len(head) < 2 or (wanted is not None and head[0] != wanted):
        raise Unsupported("the form of the server's certificate")
    start, length = at + 2, head[1]
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(der[start : start + size], "big")
        start += size
    if start + length > len(der):
        raise Unsupported("the form of the server's certificate")
    return head[0], start, start + length
