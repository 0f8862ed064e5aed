from __future__ import annotations

import json
import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import snowflake.connector
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from snowflake.connector.errors import DatabaseError

from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.auth import fingerprint, public_key


def login(emulator: Emulator, **changed: Any) -> dict[str, Any]:
    """Log in with a token made here: the driver makes none that is wrong."""
    key = serialization.load_pem_private_key(emulator.key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    name = f"{emulator.account}.{emulator.user}"
    now = int(time.time())
    issuer = f"{name}.{fingerprint(key.public_key())}"
    claims = {"iss": issuer, "sub": name, "iat": now, "exp": now + 60, **changed}
    token = jwt.encode(claims, key, algorithm="RS256")
    data = {
        "ACCOUNT_NAME": emulator.account,
        "LOGIN_NAME": emulator.user,
        "AUTHENTICATOR": "SNOWFLAKE_JWT",
        "TOKEN": token,
    }
    body = json.dumps({"data": data}).encode()
    context = ssl.create_default_context(cafile=emulator.authority)
    url = f"{emulator.url}/session/v1/login-request"
    with urllib.request.urlopen(urllib.request.Request(url, body), context=context, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def new_key(path: Path) -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return str(path), public.decode()


def test_a_key_pair_logs_in(query: Callable[..., list[Any]], emulator: Emulator, schema: str) -> None:
    found = query(
        "SELECT CURRENT_USER(), CURRENT_ROLE(), CURRENT_WAREHOUSE(), CURRENT_DATABASE(), CURRENT_SCHEMA()"
    )
    assert found == [(emulator.user, emulator.role, emulator.warehouse, emulator.database, schema)]


def test_another_key_is_refused(emulator: Emulator, tmp_path: Path) -> None:
    path, _ = new_key(tmp_path / "other.pem")
    with pytest.raises(DatabaseError, match="JWT token is invalid"):
        snowflake.connector.connect(**emulator.connector(private_key_file=path))
    assert emulator.counts()["refused_JWT_TOKEN_INVALID_PUBLIC_KEY_FINGERPRINT_MISMATCH"] == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"iat": int(time.time()) - 7200, "exp": int(time.time()) - 3600}, "JWT_TOKEN_EXPIRED"),
        ({"iat": int(time.time()) - 7200, "exp": int(time.time()) + 3600}, "JWT_TOKEN_EXPIRED"),
        ({"iat": int(time.time()) + 7200}, "JWT_TOKEN_INVALID_ISSUE_TIME"),
        ({"exp": None}, "JWT_TOKEN_MISSING_TIMES"),
        ({"sub": "OTHER.ETL_USER"}, "JWT_TOKEN_INVALID_SUBJECT"),
        ({"iss": "EMULATOR.ETL_USER.SHA256:x"}, "JWT_TOKEN_INVALID_PUBLIC_KEY_FINGERPRINT_MISMATCH"),
    ],
)
def test_a_token_that_is_wrong_is_refused(emulator: Emulator, changed: dict[str, Any], why: str) -> None:
    assert login(emulator)["success"]
    answer = login(emulator, **changed)
    assert (answer["success"], answer["code"]) == (False, "390144")
    assert emulator.counts()[f"refused_{why}"] == 1


def test_a_key_is_rotated_by_the_second_slot(
    query: Callable[..., list[Any]], emulator: Emulator, tmp_path: Path
) -> None:
    path, public = new_key(tmp_path / "second.pem")
    body = "".join(line for line in public.splitlines() if not line.startswith("-"))
    query(f"ALTER USER {emulator.user} SET RSA_PUBLIC_KEY_2='{body}'")
    snowflake.connector.connect(**emulator.connector(private_key_file=path)).close()
    query(f"ALTER USER {emulator.user} UNSET RSA_PUBLIC_KEY_2")
    with pytest.raises(DatabaseError):
        snowflake.connector.connect(**emulator.connector(private_key_file=path))


def test_a_role_that_is_not_granted_is_refused(emulator: Emulator) -> None:
    with pytest.raises(DatabaseError, match="not granted to this user"):
        snowflake.connector.connect(**emulator.connector(role="NOBODY"))


def test_the_driver_renews_an_expired_session(query: Callable[..., list[Any]], emulator: Emulator) -> None:
    assert query("SELECT 1") == [(1,)]
    emulator.control("expire", {})
    assert query("SELECT 2") == [(2,)]
    assert emulator.counts()["renewals"] == 1


def test_a_session_whose_master_token_is_gone_has_to_log_in_again(
    query: Callable[..., list[Any]], emulator: Emulator
) -> None:
    emulator.control("expire", {"masters": True})
    with pytest.raises(DatabaseError):
        query("SELECT 1")


def test_a_public_key_is_read_with_and_without_its_frame(tmp_path: Path) -> None:
    _, public = new_key(tmp_path / "key.pem")
    body = "".join(line for line in public.splitlines() if not line.startswith("-"))
    assert fingerprint(public_key(public)) == fingerprint(public_key(body))
