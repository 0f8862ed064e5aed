from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import snowflake.connector
from attrs import evolve
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from etl_core import (
    AuthError,
    ConfigError,
    Duration,
    EtlError,
    FatalError,
    RetryableError,
    SchemaError,
    StateError,
)
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.emulator import Emulator
from etl_snowflake.errors import refused, translated

SECRET = "the value of a row"


@pytest.fixture
def table(session: Session, schema: str) -> str:
    name = f'"{schema}"."T"'
    session.execute(f"CREATE TABLE {name} (ID INT NOT NULL, S VARCHAR(30))")
    return name


@pytest.fixture
def opened(config: SnowflakeConfig) -> Iterator[Callable[..., Session]]:
    with ExitStack() as stack:

        def one(**changed: Any) -> Session:
            made = Session(evolve(config, **changed))
            stack.callback(made.close)
            return made

        yield one


def told(error: EtlError) -> str:
    shown = None if error.__suppress_context__ else error.__context__
    return f"{error} {error.hint} {error.facts} {error.__cause__!r} {shown!r}"


def test_statements_with_values(session: Session, table: str) -> None:
    assert session.execute("SELECT 1") == [(1,)]
    odd = "it's \\ ? %s \u2603"
    assert session.changed(f"INSERT INTO {table} SELECT ?, ?", (1, odd)) == 1
    assert session.execute(f"SELECT * FROM {table} WHERE S = ?", (odd,)) == [(1, odd)]
    assert session.changed(f"UPDATE {table} SET S = ? WHERE ID = ?", (None, 1)) == 1
    assert session.changed(f"DELETE FROM {table} WHERE ID = ?", (2,)) == 0
    assert session.execute(f"SELECT * FROM {table} WHERE ID = 5") == []


def test_a_merge_counts_all_that_it_changed(session: Session, table: str) -> None:
    session.execute(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")
    changed = session.changed(
        f"MERGE INTO {table} t USING (SELECT 1 AS ID UNION ALL SELECT 2 UNION ALL SELECT 3) s ON t.ID = s.ID "
        "WHEN MATCHED AND s.ID = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET S = 'x' "
        "WHEN NOT MATCHED THEN INSERT (ID) VALUES (s.ID)"
    )
    assert changed == 3


def test_results_as_arrow(session: Session, table: str) -> None:
    empty = session.arrow(f"SELECT * FROM {table}")
    assert (empty.num_rows, empty.column_names) == (0, ["ID", "S"])
    session.execute(f"INSERT INTO {table} VALUES (1, 'a')")
    found = session.arrow(f"SELECT S FROM {table} WHERE ID = ?", (1,))
    assert isinstance(found, pa.Table)
    assert found.to_pylist() == [{"S": "a"}]


def test_a_transaction_is_whole_or_nothing(
    session: Session, table: str, opened: Callable[..., Session]
) -> None:
    with pytest.raises(ValueError, match="accident"), session.transaction():
        session.execute(f"INSERT INTO {table} VALUES (1, 'a')")
        raise ValueError("accident")
    assert [session.in_transaction] == [False]
    with session.transaction():
        assert session.in_transaction
        session.execute(f"INSERT INTO {table} VALUES (2, 'b')")
        assert opened().execute(f"SELECT COUNT(*) FROM {table}") == [(0,)]
    assert opened().execute(f"SELECT ID FROM {table}") == [(2,)]


def test_a_statement_that_fails_rolls_back(session: Session, table: str) -> None:
    with pytest.raises(SchemaError), session.transaction():
        session.execute(f"INSERT INTO {table} VALUES (1, 'a')")
        session.execute(f"SELECT nope FROM {table}")
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(0,)]


@pytest.mark.parametrize(
    ("sql", "kind", "says"),
    [
        ("SELEC", SchemaError, "does not fit the tables"),
        ("SELECT nope FROM {table}", SchemaError, "does not fit the tables"),
        ("SELECT * FROM nowhere", AuthError, "or there is no such object"),
        ("INSERT INTO {table} SELECT NULL, ?", SchemaError, "value does not fit"),
        ("INSERT INTO {table} SELECT CAST(? AS INT), ''", SchemaError, "value does not fit"),
    ],
)
def test_errors_say_what_to_do_and_hold_no_value(
    session: Session, table: str, sql: str, kind: type[EtlError], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        session.execute(sql.format(table=table), (SECRET,) if "?" in sql else ())
    assert SECRET not in told(caught.value)
    assert caught.value.facts["errno"]
    assert session.execute("SELECT 1") == [(1,)]


def test_a_privilege_that_is_missing(session: Session, table: str, emulator: Emulator, schema: str) -> None:
    revoked = {"privilege": "INSERT", "kind": "TABLE", "name": f"{emulator.database}.{schema}.T"}
    emulator.control(
        "grants",
        {
            "revoke": [
                {**revoked, "role": emulator.role},
                {**revoked, "privilege": "OWNERSHIP", "role": emulator.role},
            ]
        },
    )
    with pytest.raises(AuthError):
        session.execute(f"INSERT INTO {table} VALUES (1, 'a')")


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"cut": "before"}, {"cut": "after"}])
def test_a_statement_goes_through_what_passes(
    session: Session, table: str, emulator: Emulator, fault: dict[str, Any]
) -> None:
    emulator.fault("sql", match="^INSERT", **fault)
    assert session.changed(f"INSERT INTO {table} VALUES (1, 'a')") == 1
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_an_expired_session_goes_on(session: Session, emulator: Emulator) -> None:
    assert session.execute("SELECT 1") == [(1,)]
    emulator.control("expire", {})
    assert session.execute("SELECT 2") == [(2,)]


def test_a_session_that_is_gone_logs_in_again(session: Session, emulator: Emulator) -> None:
    assert session.execute("SELECT 1") == [(1,)]
    emulator.control("expire", {"masters": True})
    assert session.execute("SELECT 2") == [(2,)]
    assert emulator.counts()["logins"] >= 2


def test_a_session_that_is_gone_takes_its_transaction_along(
    session: Session, table: str, emulator: Emulator
) -> None:
    emulator.switch(transaction_idle=0.2)
    with pytest.raises(RetryableError, match="in a transaction"), session.transaction():
        session.execute(f"INSERT INTO {table} VALUES (1, 'a')")
        emulator.control("expire", {"masters": True})
        session.execute(f"INSERT INTO {table} VALUES (2, 'b')")
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(0,)]


class Losing:
    """A cursor whose answers are lost, once the driver has given up asking again."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, *arguments: Any) -> Any:
        self._cursor.execute(*arguments)
        raise snowflake.connector.errors.OperationalError("HTTP request failed after retries", errno=4)


def test_a_commit_whose_answer_is_lost_is_said_to_be_so(session: Session, table: str) -> None:
    with pytest.raises(RetryableError, match="answer to a COMMIT") as caught, session.transaction():
        session.execute(f"INSERT INTO {table} VALUES (1, 'a')")
        session._cursor = Losing(session._cursor)
    assert caught.value.facts["commit"] == "unknown"
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(1,)]


def test_a_session_is_interrupted(session: Session, emulator: Emulator) -> None:
    assert session.execute("SELECT 1") == [(1,)]
    emulator.fault("sql", match="^SELECT 42", delay=1.5)
    timer = threading.Timer(0.3, session.interrupt)
    timer.start()
    with pytest.raises(EtlError):
        session.execute("SELECT 42")
    timer.join()
    with pytest.raises(RetryableError, match="interrupted"):
        session.execute("SELECT 1")
    session.close()
    assert session.execute("SELECT 1") == [(1,)]


def new_key(path: Path) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public.decode()


def test_a_key_is_rotated_without_a_new_session(
    opened: Callable[..., Session], emulator: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(emulator.key.read_bytes())
    session = opened(private_key_path=path)
    assert session.execute("SELECT 1") == [(1,)]
    body = "".join(line for line in new_key(path).splitlines() if not line.startswith("-"))
    session.execute(f"ALTER USER {emulator.user} SET RSA_PUBLIC_KEY_2='{body}'")
    try:
        emulator.control("expire", {"masters": True})
        assert session.execute("SELECT 2") == [(2,)]
    finally:
        session.execute(f"ALTER USER {emulator.user} UNSET RSA_PUBLIC_KEY_2")


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"user": "NOBODY"}, AuthError, "refused the login"),
        ({"role": "NOBODY"}, AuthError, "refused access"),
        ({"port": 1, "login_timeout": Duration(1)}, RetryableError, "could not be reached"),
    ],
)
def test_a_login_that_fails_says_why(
    opened: Callable[..., Session], changed: dict[str, Any], kind: type[EtlError], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        opened(**changed).execute("SELECT 1")
    assert "PRIVATE KEY" not in told(caught.value)


def test_names_of_the_account_are_exact(opened: Callable[..., Session], emulator: Emulator) -> None:
    found = opened().execute("SELECT CURRENT_DATABASE(), CURRENT_ROLE(), CURRENT_WAREHOUSE()")
    assert found == [(emulator.database, emulator.role, emulator.warehouse)]
    with pytest.raises(EtlError):
        opened(role=emulator.role.lower()).execute("SELECT 1")


class Vendor(Exception):
    def __init__(self, errno: int = 0, sqlstate: str = "", code: str | None = None, text: str = "") -> None:
        super().__init__(text)
        self.errno, self.sqlstate, self.sfqid = errno, sqlstate, None
        if code:
            self.error_code = type("Code", (), {"value": code})


class OperationalError(Vendor):
    pass


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Vendor(390144, "28000"), AuthError),
        (Vendor(606, "57P03"), ConfigError),
        (Vendor(250001, "08001", text="login request. invalid peer certificate: UnknownIssuer"), ConfigError),
        (Vendor(625, "57014"), RetryableError),
        (Vendor(390114, "08001"), RetryableError),
        (Vendor(0, "08006"), RetryableError),
        (OperationalError(99), RetryableError),
        (Vendor(100038, "22018"), SchemaError),
        (Vendor(99, "XX000"), FatalError),
        (Vendor(code="ConfigError"), ConfigError),
        (Vendor(code="SfApiAuthError", text="HTTP 401"), AuthError),
        (Vendor(code="HttpRetriesExhaustedError"), RetryableError),
        (
            Vendor(code="InvalidChannelError", text="error_code=STALE_CONTINUATION_TOKEN_SEQUENCER, x"),
            StateError,
        ),
        (Vendor(code="InvalidChannelError", text="error_code=STALE_CONTINUATION_TOKEN, x"), RetryableError),
        (
            Vendor(code="SfApiUserError", text="error_code=ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED,"),
            AuthError,
        ),
        (TimeoutError(), RetryableError),
        (StateError("kept as it is"), StateError),
    ],
)
def test_each_error_of_the_vendor_has_one_of_ours(error: Exception, kind: type[EtlError]) -> None:
    assert type(translated(error)) is kind


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "390144", AuthError),
        (413, None, SchemaError),
        (429, None, RetryableError),
        (409, "ERR_X", RetryableError),
    ],
)
def test_each_answer_of_the_protocol_has_an_error(
    status: int, code: str | None, kind: type[EtlError]
) -> None:
    found = refused(status, code, 7.0)
    assert type(found) is kind
    assert found.facts["status"] == status
    assert getattr(found, "retry_after", 7.0) == 7.0
