"""Key-pair authentication: users with one or two public keys, and the JSON Web Tokens they sign.

As Snowflake documents it: RS256, `iss` = ACCOUNT.USER.SHA256:fingerprint, `sub` = ACCOUNT.USER, an `exp` at
most an hour after `iat`. The second key is for rotation.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

_SKEW = 60
_LONGEST = 3600


class Refused(Exception):
    """Who asks is not let in; says why, for the statement log only: the client hears a constant."""


@dataclass
class User:
    """One user: a name, the roles granted, and up to two public keys."""

    name: str
    roles: list[str]
    keys: list[rsa.RSAPublicKey | None] = field(default_factory=lambda: [None, None])
    disabled: bool = False


def new_key(path: Path) -> rsa.RSAPrivateKey:
    """Give the RSA key in a file; a new one where there is no file."""
    if path.exists():
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.touch(mode=0o600)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem)
    return key


def public_key(text: str) -> rsa.RSAPublicKey:
    """Read a public key as `ALTER USER ... SET RSA_PUBLIC_KEY` takes it: PEM, with or without its frame.

    Raises ValueError where it is none.
    """
    body = "".join(re.sub(r"-----[^-]+-----", "", text).split())
    key = serialization.load_der_public_key(base64.b64decode(body))
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("no RSA key")  # noqa: TRY004 - of a value, not of an argument's type
    return key


def fingerprint(key: rsa.RSAPublicKey) -> str:
    """Give `SHA256:` and the digest of a public key, as Snowflake shows it."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()


class Door:
    """Lets users in by their tokens, and clients of the streaming service by those it hands out."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.users: dict[str, User] = {}
        self.lifetime = 3600.0
        self._secret = secrets.token_bytes(32)
        self._revoked_before = 0.0

    def verify(self, token: str, login: str | None = None) -> User:
        """Give the user that a key-pair token speaks for; raises Refused."""
        claims = self._claims(token)
        account, _, name = str(claims.get("sub", "")).partition(".")
        user = self.users.get(name)
        if account != self.account or user is None or user.disabled:
            raise Refused("JWT_TOKEN_INVALID_SUBJECT")
        if login is not None and login.upper() != name:
            raise Refused("JWT_TOKEN_INVALID_USER_IN_ISSUER")
        self._check_signature(token, claims, user)
        self._check_times(claims)
        return user

    def _claims(self, token: str) -> dict[str, object]:
        try:
            return dict(jwt.decode(token, options={"verify_signature": False}))
        except jwt.PyJWTError as error:
            raise Refused("JWT_TOKEN_INVALID") from error

    def _check_signature(self, token: str, claims: dict[str, object], user: User) -> None:
        for key in user.keys:
            if key and claims.get("iss") == f"{self.account}.{user.name}.{fingerprint(key)}":
                try:
                    jwt.decode(
                        token,
                        key,
                        algorithms=["RS256"],
                        options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
                    )
                except jwt.PyJWTError as error:
                    raise Refused("JWT_TOKEN_INVALID_SIGNATURE") from error
                return
        raise Refused("JWT_TOKEN_INVALID_PUBLIC_KEY_FINGERPRINT_MISMATCH")

    def _check_times(self, claims: dict[str, object]) -> None:
        now, issued, expires = time.time(), _seconds(claims.get("iat")), _seconds(claims.get("exp"))
        if issued > now + _SKEW:
            raise Refused("JWT_TOKEN_INVALID_ISSUE_TIME")
        if min(expires, issued + _LONGEST) < now - _SKEW:
            raise Refused("JWT_TOKEN_EXPIRED")

    def role_of(self, token: str, user: User) -> str:
        """Give the role that a key-pair token asks for, or the user's own; raises Refused."""
        role = str(self._claims(token).get("scp", "")).removeprefix("session:role:").strip('"')
        if role and role not in user.roles:
            raise Refused("ROLE_NOT_GRANTED")
        return role or user.roles[0]

    def hand_out(self, user: User, role: str) -> str:
        """Give a token for the streaming service; it is good for `lifetime` seconds."""
        now = time.time()
        claims = {"sub": user.name, "role": role, "iat": int(now), "at": now, "exp": int(now + self.lifetime)}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def admit(self, authorization: str | None) -> str:
        """Give the role of a streaming request's `Authorization`; raises Refused."""
        token = (authorization or "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, self._secret, algorithms=["HS256"], options={"verify_iat": False})
        except jwt.PyJWTError as error:
            raise Refused("TOKEN_INVALID") from error
        user = self.users.get(claims["sub"])
        if user is None or user.disabled or claims["at"] < self._revoked_before:
            raise Refused("TOKEN_INVALID")
        return str(claims["role"])

    def expire_tokens(self) -> None:
        """Let every token handed out so far count as expired."""
        self._revoked_before = time.time()


def _seconds(moment: object) -> float:
    """Read a time of a claim; the streaming client writes milliseconds."""
    if not isinstance(moment, int | float):
        raise Refused("JWT_TOKEN_MISSING_TIMES")
    return moment / 1000 if moment > 100_000_000_000 else moment
