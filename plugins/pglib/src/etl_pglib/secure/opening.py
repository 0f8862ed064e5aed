"""Opening a channel: TCP, PostgreSQL's request for TLS, the handshake, and whose certificate it is."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import ExitStack

from etl_core.errors import EtlError
from etl_pglib import failures
from etl_pglib.secure import certificate, messages, trust
from etl_pglib.secure.channel import Channel, Deadline
from etl_pglib.secure.parameters import Parameters, Unsupported

__all__ = ["failed", "open_channel"]

#: Why a handshake fails that libpq has just had: Python asks more of keys and ciphers. Reasons of OpenSSL.
_STRICTER = {
    *("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "DH_KEY_TOO_SMALL", "WRONG_SIGNATURE_TYPE"),
    *("NO_PROTOCOLS_AVAILABLE", "UNSUPPORTED_PROTOCOL", "UNSAFE_LEGACY_RENEGOTIATION_DISABLED"),
    *("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_PROTOCOL_VERSION", "TLSV1_ALERT_INSUFFICIENT_SECURITY"),
}
#: The same of a chain: X509_V_ERR_EE_KEY_TOO_SMALL, X509_V_ERR_CA_KEY_TOO_SMALL, X509_V_ERR_CA_MD_TOO_WEAK.
_WEAK = {66, 67, 68}
#: What of keepalives the system may know, by the option of libpq that sets it.
_KEEPALIVES = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
}


def open_channel(parameters: Parameters, context: ssl.SSLContext, deadline: Deadline) -> Channel:
    """Connect to where `parameters` say, with TLS as `context` has it.

    Raises ConfigError, RetryableError, or Unsupported for what only libpq can do.
    """
    with ExitStack() as undo:
        try:
            address = (parameters.address, parameters.port)
            connected = undo.enter_context(socket.create_connection(address, deadline.left))
            _set(connected, parameters.options)
            if not _at_once(parameters):
                _ask(connected, deadline)
            channel = _channel(connected, parameters, context)
            channel.shake(deadline)
        except OSError as error:
            raise failed(error) from None
        _check(channel.tls, parameters)
        undo.pop_all()
        return channel


def _set(connected: socket.socket, options: Mapping[str, str]) -> None:
    """Set what libpq sets on its sockets, where the system has it."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wanted = {"tcp_user_timeout": "TCP_USER_TIMEOUT"}
    if int(options.get("keepalives", "1")) != 0:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        wanted |= _KEEPALIVES
    for option, name in wanted.items():
        value = int(options.get(option, "0"))
        if value > 0 and hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _ask(connected: socket.socket, deadline: Deadline) -> None:
    """Ask for TLS. Exactly one byte is read: what follows in the clear would not be TLS, and fail."""
    connected.settimeout(deadline.left)
    connected.sendall(messages.TLS_REQUEST)
    connected.settimeout(deadline.left)
    answer = connected.recv(1)
    if answer == b"N":
        raise failures.connecting("server does not support SSL, but SSL was required")
    if answer != b"S":
        raise failures.connecting("the server closed or refused the connection before TLS")


def _channel(connected: socket.socket, parameters: Parameters, context: ssl.SSLContext) -> Channel:
    try:
        return Channel.over(connected, context, _indicated(parameters))
    except ValueError:
        raise Unsupported("the host's name in the handshake") from None


def _indicated(parameters: Parameters) -> str | None:
    """Return the name for the handshake (SNI); libpq gives none that looks like an address."""
    host = parameters.host
    address = not host.strip("0123456789.") or ":" in host
    return None if address or parameters.options.get("sslsni") != "1" else host


def _at_once(parameters: Parameters) -> bool:
    """Whether TLS begins unasked; a libpq before 17 has no option for it and always asks."""
    return parameters.options.get("sslnegotiation") == "direct"


def _check(tls: ssl.SSLObject, parameters: Parameters) -> None:
    """Check that the other side speaks PostgreSQL, and whose it is."""
    chosen = tls.selected_alpn_protocol()
    if chosen != trust.ALPN and (chosen is not None or _at_once(parameters)):
        raise failures.connecting("the other side does not support SSL for PostgreSQL")
    if parameters.options["sslmode"] != "verify-full":
        return
    try:
        shown = tls.getpeercert() or {}
    except ValueError:
        raise Unsupported("the names of the server's certificate") from None
    if not certificate.belongs_to(shown, parameters.host):
        raise failures.connecting("the server's certificate is not for the host of the DSN")


def failed(error: OSError) -> EtlError | Unsupported:
    """Return what a failure before the login means."""
    weak = isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _WEAK
    if weak or getattr(error, "reason", None) in _STRICTER:
        return Unsupported("the server's TLS")
    return failures.connecting(str(error))
