"""Connections to real servers: what a session is like, and what each failure is called."""

from __future__ import annotations

import os
import socket
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_core import Secret
from etl_core.errors import (
    AuthError,
    ConfigError,
    EtlError,
    FatalError,
    PositionLostError,
    RetryableError,
    SchemaError,
)
from etl_pglib import failures
from etl_pglib.client import SESSION, Connection, Error, connect, translate
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database

PASSWORD = "s3/cr@t: ü"
ENCODED = "s3%2Fcr%40t%3A%20%C3%BC"


def open_(dsn: str, *, replication: bool = False) -> Connection:
    return connect(Secret(dsn), application_name="etl test", replication=replication)


def settings_of(connection: Connection) -> dict[str, str]:
    rows = connection.execute("SELECT lower(name), setting FROM pg_catalog.pg_settings").fetchall()
    return dict(rows)


def failing(dsn: str) -> EtlError:
    with pytest.raises(EtlError) as raised:
        open_(dsn)
    return raised.value


def of_command(connection: Connection, statement: str) -> EtlError:
    with pytest.raises(Error) as raised:
        connection.execute(statement.encode())
    return translate(raised.value, "testing")


@pytest.mark.parametrize("pg_version", [16, 18])
@pytest.mark.parametrize("replication", [False, True])
def test_no_setting_of_server_or_role_changes_a_value(pg: Database, replication: bool) -> None:
    pg.execute(
        f"ALTER DATABASE {pg.name} SET datestyle = 'SQL, DMY'",
        f"ALTER DATABASE {pg.name} SET timezone = 'Asia/Kolkata'",
        f"ALTER DATABASE {pg.name} SET statement_timeout = '10s'",
        f"ALTER DATABASE {pg.name} SET extra_float_digits = -15",
        f"ALTER DATABASE {pg.name} SET bytea_output = 'escape'",
    )
    with open_(pg.dsn, replication=replication) as connection:
        found = settings_of(connection)
        wanted = {name: value for name, value in SESSION.items() if name in found}
        assert {name: found[name] for name in wanted} == wanted
        assert found["application_name"] == "etl test"
        row = connection.execute(
            r"SELECT 0.1::float8 + 0.2, '1999-12-31'::timestamptz::text, '\x00'::bytea::text"
        )
        assert row.fetchone() == (0.1 + 0.2, "1999-12-31 00:00:00+00", "\\x00")


def test_a_session_may_keep_the_servers_settings_and_be_transactional(pg: Database) -> None:
    with connect(Secret(pg.dsn), application_name="t", autocommit=False, session={}) as connection:
        connection.execute("CREATE TABLE t (a int)")
        connection.rollback()
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_options_of_the_dsn_are_kept(pg: Database) -> None:
    with open_(f"{pg.dsn}?options=-c%20work_mem%3D123kB&connect_timeout=3") as connection:
        assert settings_of(connection)["work_mem"] == "123"


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="no such option on this system")
def test_a_network_that_is_gone_is_noticed_within_a_minute(pg: Database) -> None:
    """While something waits for its acknowledgement no keepalive is sent: each needs its own bound."""
    for options, wanted in (("", 60_000), ("?tcp_user_timeout=5000", 5000)):
        with open_(pg.dsn + options) as connection, socket.socket(fileno=os.dup(connection.fileno())) as own:
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == wanted
            assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            idle = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            interval = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
            assert idle + interval * own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 60


@pytest.mark.parametrize("method", ["scram", "md5"])
def test_a_login_with_a_password_and_one_that_is_refused(pg: Database, method: str) -> None:
    role = f"{method}_{pg.name}"
    encryption = "scram-sha-256" if method == "scram" else "md5"
    pg.execute(f"SET password_encryption = '{encryption}'; CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    dsn = pg.dsn.replace("postgres@", f"{role}:{ENCODED}@")
    try:
        with open_(dsn) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)
            assert PASSWORD not in f"{connection!r} {connection.info.dsn}"
        for wrong in (dsn.replace(ENCODED, "wr0ng"), dsn.replace(f":{ENCODED}", "")):
            error = failing(wrong)
            assert isinstance(error, AuthError)
            assert "pg_hba.conf" in str(error.hint)
            assert "wr0ng" not in "".join(traceback.format_exception(error))
    finally:
        pg.execute(f"DROP ROLE {role}")


def test_keywords_and_a_service_file_are_dsns(
    pg: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = pg.server.port
    with open_(f"host=127.0.0.1 port={port} user=postgres dbname={pg.name}") as connection:
        assert connection.info.dbname == pg.name
    file = tmp_path / "services"
    file.write_text(f"[shop]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname={pg.name}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    with open_("service=shop") as connection:
        assert connection.info.dbname == pg.name
    assert isinstance(failing("service=other"), ConfigError)


def test_a_database_or_role_that_does_not_exist(pg: Database) -> None:
    error = failing(pg.dsn.replace(pg.name, "no_such"))
    assert (type(error), error.message) == (ConfigError, "the database does not exist")
    assert isinstance(failing(pg.dsn.replace("postgres@", "no_such@")), AuthError)


def test_a_server_that_is_not_there_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = failing(f"postgresql://u:{ENCODED}@127.0.0.1:{port}/d")
    assert isinstance(error, RetryableError)
    assert PASSWORD not in str(error)


def test_a_server_without_tls_when_tls_is_demanded(pg: Database) -> None:
    error = failing(f"{pg.dsn}?sslmode=require")
    assert (type(error), error.message) == (ConfigError, "TLS could not be set up")
    assert isinstance(failing(f"{pg.dsn}?sslmode=verify-full&sslrootcert=/no/such"), ConfigError)


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:hunter%2@h/x", "host='hunter2", "hunter2", "postgresql://u:hunter2@h/x?bad=1"]
)
def test_a_dsn_that_cannot_be_read_is_never_quoted(dsn: str) -> None:
    error = failing(dsn)
    assert isinstance(error, ConfigError)
    assert "hunter" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("dsn", ["postgresql://u:pa@ss@127.0.0.1:1/x", "postgresql://127.0.0.1:1/ss@h/x"])
def test_a_password_read_as_a_host_or_database_is_never_shown(dsn: str) -> None:
    error = failing(dsn)
    assert "ss@" not in "".join(traceback.format_exception(error))
    assert "percent-encoded" in str(error.hint)


def test_a_command_that_fails(pg: Database) -> None:
    pg.execute(
        "CREATE ROLE plain_role LOGIN; CREATE TABLE t (secret int PRIMARY KEY); INSERT INTO t VALUES (4711)"
    )
    try:
        with open_(pg.dsn) as connection, open_(pg.dsn.replace("postgres@", "plain_role@")) as plain:
            error = of_command(connection, "SELECT * FROM public.no_such")
            assert isinstance(error, SchemaError)
            assert error.facts == {
                "doing": "testing",
                "sqlstate": "42P01",
                "server": 'relation "public.no_such" does not exist',
            }
            assert isinstance(of_command(connection, "SELECT nope FROM public.t"), SchemaError)
            denied = of_command(plain, "SELECT * FROM public.t")
            assert isinstance(denied, AuthError)
            assert "GRANT SELECT" in str(denied.hint)
            assert type(of_command(connection, "SELEC 1")) is FatalError
            for statement in ("INSERT INTO public.t VALUES (4711)", "SELECT '4711x'::int4"):
                error = of_command(connection, statement)
                assert "4711" not in f"{error} {error.hint} {error.facts}"
    finally:
        pg.execute("DROP ROLE plain_role")


def test_row_security_fails_the_copy_instead_of_hiding_rows(pg: Database) -> None:
    pg.execute(
        "CREATE ROLE seer_role LOGIN",
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1); GRANT SELECT ON t TO seer_role;"
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    )
    try:
        with open_(pg.dsn.replace("postgres@", "seer_role@")) as seer:
            error = of_command(seer, "SELECT * FROM public.t")
            assert isinstance(error, AuthError)
            assert "BYPASSRLS" in str(error.hint)
    finally:
        pg.execute("DROP OWNED BY seer_role", "DROP ROLE seer_role")


def test_a_replication_slot_in_use_is_waited_for(pg: Database) -> None:
    create = f"CREATE_REPLICATION_SLOT {pg.name} LOGICAL pgoutput"
    with open_(pg.dsn, replication=True) as holder, open_(pg.dsn) as other:
        holder.execute(create.replace("LOGICAL", "TEMPORARY LOGICAL").encode())
        error = of_command(other, f"SELECT pg_drop_replication_slot('{pg.name}')")
        assert (type(error), error.facts["sqlstate"]) == (RetryableError, "55006")


def test_replication_without_the_privilege(pg: Database) -> None:
    pg.execute("CREATE ROLE lonely_role LOGIN")
    try:
        with pytest.raises(AuthError, match="privilege") as raised:
            open_(pg.dsn.replace("postgres@", "lonely_role@"), replication=True)
        assert "ALTER ROLE <role> REPLICATION" in str(raised.value.hint)
    finally:
        pg.execute("DROP ROLE lonely_role")


def test_a_session_that_was_ended(pg: Database) -> None:
    connection = open_(pg.dsn)
    pg.query(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 10000)")
    first = of_command(connection, "SELECT 1")
    assert (type(first), first.facts["sqlstate"]) == (RetryableError, "57P01")
    then = of_command(connection, "SELECT 1")
    assert (type(then), then.message) == (RetryableError, "the connection to the server was lost")


def test_an_answer_that_cannot_be_used(pg: Database) -> None:
    with open_(pg.dsn) as connection, pytest.raises(Error) as raised:
        connection.execute("SELECT 1; SELECT %s", [1])
    assert isinstance(translate(raised.value, "testing"), FatalError)
    with open_(pg.dsn) as connection, pytest.raises(Error) as raised:
        connection.execute("SET a.b = 1").fetchall()
    assert translate(raised.value, "testing").facts == {"doing": "testing", "error": "ProgrammingError"}


def test_a_server_that_hangs_up_while_the_session_is_set_up() -> None:
    """Everything a pooler or a dying server may do at that moment is a passing failure."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet_and_go() -> None:
            client, _ = server.accept()
            with client:
                client.recv(8)
                client.sendall(b"N")
                client.recv(4096)
                client.sendall(b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I")

        thread = threading.Thread(target=greet_and_go)
        thread.start()
        error = failing(f"postgresql://u@127.0.0.1:{server.getsockname()[1]}/d?gssencmode=disable")
        thread.join(10)
    assert isinstance(error, RetryableError)


def test_a_server_out_of_connections_is_waited_for(pg_private: Callable[..., EmbeddedPostgres]) -> None:
    server = pg_private(settings={"max_connections": "4", "superuser_reserved_connections": "0"})
    held: list[Connection] = []
    try:
        with pytest.raises(RetryableError):
            held.extend(open_(server.dsn) for _ in range(8))
    finally:
        for connection in held:
            connection.close()


CONNECTING = [
    ('FATAL:  password authentication failed for user "x"', AuthError),
    ('FATAL:  no pg_hba.conf entry for host "h", user "u", database "d", SSL off', AuthError),
    ("fe_sendauth: no password supplied", AuthError),
    ('FATAL:  role "x" is not permitted to log in', AuthError),
    ('FATAL:  permission denied for database "d"', AuthError),
    ('FATAL:  database "d" does not exist', ConfigError),
    ("SSL error: certificate verify failed", ConfigError),
    ("FATAL:  the database system is starting up", RetryableError),
    ('FATAL:  too many connections for role "x"', RetryableError),
    ("FATAL:  sorry, too many clients already", RetryableError),
    ("timeout expired", RetryableError),
]


@pytest.mark.parametrize(("text", "kind"), CONNECTING)
def test_what_libpq_says_of_a_connection(text: str, kind: type[EtlError]) -> None:
    error = failures.connecting(f"connection failed:\n\t{text}")
    assert (type(error), error.facts["server"]) == (kind, f"connection failed: {' '.join(text.split())}")


STATES = [
    ("08006", RetryableError),
    ("25P04", RetryableError),
    ("28P01", AuthError),
    ("40001", RetryableError),
    ("53100", RetryableError),
    ("53400", FatalError),
    ("57P03", RetryableError),
    ("58P01", PositionLostError),
    ("58030", RetryableError),
    ("55000", FatalError),
    ("XX000", RetryableError),
    ("0A000", FatalError),
]


@pytest.mark.parametrize(("state", "kind"), STATES)
def test_what_a_state_means(state: str, kind: type[EtlError]) -> None:
    error = failures.executing(state, "testing", "words", "its hint")
    assert (type(error), error.facts["sqlstate"], error.facts["server"]) == (kind, state, "words")
    assert error.hint or kind is RetryableError


def test_every_environment_variable_of_libpq_works(pg: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PGHOST", "127.0.0.1"), ("PGPORT", str(pg.server.port)), ("PGUSER", "postgres")):
        monkeypatch.setenv(name, value)
    assert "PGDATABASE" not in os.environ
    with open_(f"dbname={pg.name}") as connection:
        assert connection.info.dbname == pg.name
