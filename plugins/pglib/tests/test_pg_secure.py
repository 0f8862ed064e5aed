"""Sessions over Python's TLS on an installed PostgreSQL: logins, commands, copies, streams."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.installed import InstalledPostgres
from support.tls import Certificates

from etl_core import Cancelled, Secret
from etl_core.errors import AuthError, EtlError, FatalError, RetryableError, SchemaError
from etl_pglib.client import SESSION, Connection, connect
from etl_pglib.secure import Secure, copy_data, open_secure

pytestmark = pytest.mark.timeout(120)

PASSWORD = "s3/cr@t: ü"
#: Sends a first buffer at once, and would then go on for half an hour.
SLOW = (
    "copy (select repeat('x', 100), pg_sleep(0.001 * (g / 1000)) from generate_series(1, 60000) g) to stdout"
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates")).create()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[InstalledPostgres]:
    # Before version 16 pg_hba.conf knows no patterns.
    hba = [
        "hostssl all,replication scram_user 127.0.0.1/32 scram-sha-256",
        "hostssl all,replication md5_user 127.0.0.1/32 md5",
        "hostssl all,replication plain_user 127.0.0.1/32 password",
        "hostssl all,replication cert_user 127.0.0.1/32 cert",
    ]
    server = InstalledPostgres(tmp_path_factory.mktemp("installed"), hba=hba, temporary=True)
    server.secure(certificates)
    with server:
        admin(
            server,
            f"create role scram_user superuser login password '{PASSWORD}'",
            f"create role plain_user superuser login password '{PASSWORD}'",
            f"set password_encryption = md5; create role md5_user superuser login password '{PASSWORD}'",
            "create role cert_user superuser login",
        )
        yield server


def admin(server: InstalledPostgres, *statements: str) -> list[tuple[object, ...]]:
    with connect(Secret(server.dsn), application_name="admin", session={}) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def dsn(server: InstalledPostgres, user: str = "postgres", password: str = "", **options: object) -> str:
    login = f"{user}:{quote(password, safe='')}" if password else user
    settings = "&".join(f"{name}={quote(str(value))}" for name, value in options.items())
    return f"{server.dsn.replace('postgres@', login + '@')}?{settings}"


def libpq(dsn: str) -> Connection:
    return connect(Secret(dsn), application_name="etl test")


def opened(dsn: str, *, replication: bool = False) -> Secure:
    """Open a session that has to be one of ours."""
    with libpq(dsn) as connection:
        secure = open_secure(connection, replication=replication)
    assert secure is not None
    return secure


@pytest.fixture
def secure(server: InstalledPostgres) -> Iterator[Secure]:
    secure = opened(dsn(server, sslmode="require"))
    yield secure
    secure.close()


@pytest.fixture
def walsender(server: InstalledPostgres) -> Iterator[Secure]:
    secure = opened(dsn(server, sslmode="require"), replication=True)
    yield secure
    secure.close()


def failing(call: Callable[[], object]) -> EtlError:
    with pytest.raises(EtlError) as raised:
        call()
    return raised.value


def pair(row: tuple[str | None, ...]) -> tuple[str | None, str | None]:
    first, second = row
    return first, second


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gather(secure: Secure, last: Callable[[bytes, bytes], object]) -> list[tuple[bytes, bytes]]:
    """Fill until a message is the `last`; return kinds and bodies of all that came whole."""
    found: list[tuple[bytes, bytes]] = []
    rest = bytearray()
    deadline = time.monotonic() + 60
    while not any(last(*frame) for frame in split(rest, found)):
        assert time.monotonic() < deadline
        if secure.wait(0.1):
            secure.fill(rest.extend)
    return found


def split(rest: bytearray, found: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Move whole messages from `rest` to `found`, and return those."""
    new = []
    at = 0
    while at + 5 <= len(rest):
        kind, length = struct.unpack_from(">ci", rest, at)
        if at + 1 + length > len(rest):
            break
        new.append((kind, bytes(rest[at + 5 : at + 1 + length])))
        at += 1 + length
    del rest[:at]
    found += new
    return new


def joined(found: list[tuple[bytes, bytes]]) -> bytes:
    """Return the messages that are no data as they came."""
    return b"".join(struct.pack(">ci", kind, len(body) + 4) + body for kind, body in found if kind != b"d")


def ready(kind: bytes, body: bytes) -> bool:
    return kind == b"Z"


@pytest.mark.parametrize("replication", [False, True])
def test_a_session_is_what_libpqs_would_be(server: InstalledPostgres, replication: bool) -> None:
    where = dsn(server, sslmode="require", options="-c work_mem=123kB")
    secure = opened(where, replication=replication)
    settings = dict(
        pair(row) for row in secure.run("SELECT lower(name), setting FROM pg_catalog.pg_settings")
    )
    known = {name: value for name, value in SESSION.items() if name in settings}
    assert {name: settings[name] for name in known} == known
    assert (settings["application_name"], settings["work_mem"]) == ("etl test", "123")
    assert secure.run("select 1, null, 'é', ''; select 2, 3, 4, 5") == [
        ("1", None, "é", ""),
        ("2", "3", "4", "5"),
    ]
    assert secure.run("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [("t",)]
    with socket.socket(fileno=os.dup(secure.fileno())) as same:
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
    if replication:
        assert secure.run("IDENTIFY_SYSTEM")[0][3] == "postgres"
    secure.close()
    secure.close()
    assert secure.fileno() == -1


def test_a_session_may_keep_the_servers_settings(server: InstalledPostgres) -> None:
    with libpq(dsn(server, sslmode="require")) as connection:
        secure = open_secure(connection, replication=False, session={})
    assert secure is not None
    assert secure.run("show search_path") == [('"$user", public',)]
    secure.close()


def test_a_connection_without_tls_is_libpqs(server: InstalledPostgres) -> None:
    with libpq(dsn(server, sslmode="disable")) as connection:
        assert open_secure(connection, replication=False) is None


@pytest.mark.parametrize("user", ["scram_user", "md5_user", "plain_user"])
def test_a_login_with_a_password_and_one_that_is_refused(server: InstalledPostgres, user: str) -> None:
    where = dsn(server, user, PASSWORD, sslmode="require")
    secure = opened(where, replication=True)
    assert secure.run("select current_user") == [(user,)]
    assert PASSWORD not in repr(secure)
    secure.close()
    encryption = "md5" if user == "md5_user" else "scram-sha-256"
    with libpq(where) as connection:
        admin(server, f"set password_encryption = '{encryption}'; alter role {user} password 'other'")
        try:
            error = failing(lambda: open_secure(connection, replication=False))
        finally:
            admin(
                server, f"set password_encryption = '{encryption}'; alter role {user} password '{PASSWORD}'"
            )
    assert isinstance(error, AuthError)
    assert "pg_hba.conf" in str(error.hint)
    assert PASSWORD not in "".join(traceback.format_exception(error)) + str(error.facts)


def test_a_password_from_a_file_is_used(
    server: InstalledPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passwords"
    escaped = PASSWORD.replace(":", "\\:")
    file.write_text(f"127.0.0.1:{server.port}:*:scram_user:{escaped}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    opened(dsn(server, "scram_user", sslmode="require")).close()


@pytest.mark.parametrize(
    "password",
    [
        "ü",
        "\uff21\uff22",
        "a\u00a0b\u00adc",
        "\u0221",
        "\u05d0\u05d1",
        "\u05d0b",
        "\ufb01 \u2168",
        "\u00ad",
        "a\x07ü",
    ],
    ids=ascii,
)
def test_a_password_is_prepared_as_the_server_prepares_it(server: InstalledPostgres, password: str) -> None:
    admin(server, f"alter role scram_user password '{password}'")
    try:
        opened(dsn(server, "scram_user", password, sslmode="require")).close()
    finally:
        admin(server, f"alter role scram_user password '{PASSWORD}'")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_channel_binding(
    server: InstalledPostgres, certificates: Certificates, binding: str, version: str
) -> None:
    where = dsn(
        server,
        "scram_user",
        PASSWORD,
        sslmode="verify-full",
        sslrootcert=certificates.authority,
        channel_binding=binding,
        ssl_max_protocol_version=version,
    )
    secure = opened(where)
    assert secure.run("select version from pg_stat_ssl where pid = pg_backend_pid()") == [(version,)]
    secure.close()


@pytest.mark.parametrize(
    ("user", "allowed"),
    [
        ("scram_user", "scram-sha-256"),
        ("scram_user", "!md5,!password"),
        ("plain_user", "md5,password"),
        ("postgres", "none"),
        ("postgres", "!scram-sha-256"),
    ],
)
def test_require_auth_is_kept(server: InstalledPostgres, user: str, allowed: str) -> None:
    opened(dsn(server, user, PASSWORD, sslmode="require", require_auth=allowed)).close()


def test_a_login_by_certificate(server: InstalledPostgres, certificates: Certificates) -> None:
    certificate, key = certificates.sign("cert", "cert_user")
    key.chmod(0o600)
    where = dsn(
        server,
        "cert_user",
        sslmode="verify-ca",
        sslrootcert=certificates.authority,
        sslcert=certificate,
        sslkey=key,
    )
    secure = opened(where)
    assert secure.run("select current_user") == [("cert_user",)]
    cancelled(server, secure)
    secure.close()


def cancelled(server: InstalledPostgres, secure: Secure) -> None:
    """Let `secure` wait for long, cancel it, and use it again."""
    pid = secure.run("select pg_backend_pid()")[0][0]

    def cancel() -> None:
        active = f"select 1 from pg_stat_activity where pid = {pid} and query like '%pg_sleep(60)'"
        until(lambda: admin(server, active))
        secure.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    error = failing(lambda: secure.run("select pg_sleep(60)", "sleeping"))
    thread.join()
    assert (type(error), error.facts["sqlstate"], error.facts["doing"]) == (
        RetryableError,
        "57014",
        "sleeping",
    )
    assert secure.run("select 1") == [("1",)]


def test_a_command_is_cancelled_from_another_thread(server: InstalledPostgres, secure: Secure) -> None:
    cancelled(server, secure)


def test_a_wait_for_the_server_can_be_given_up(server: InstalledPostgres, secure: Secure) -> None:
    def give_up() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        secure.run("select pg_sleep(61)", idle=give_up)
    with pytest.raises(FatalError, match="has not ended"):
        secure.run("select 1")
    secure.close()
    active = "select 1 from pg_stat_activity where query like '%pg_sleep(61)' and state = 'active'"
    until(lambda: not admin(server, active))


def test_commands_that_fail_leave_the_session_usable(secure: Secure) -> None:
    error = failing(lambda: secure.run("select * from no_such", "looking"))
    assert (type(error), error.facts["doing"], error.facts["sqlstate"]) == (SchemaError, "looking", "42P01")
    assert error.facts["server"] == 'relation "no_such" does not exist'
    error = failing(lambda: secure.run("select '4711x'::int"))
    assert "4711" not in f"{error} {error.hint} {error.facts}"
    assert isinstance(failing(lambda: secure.begin("copy no_such to stdout")), SchemaError)
    assert "starts no copy" in str(failing(lambda: secure.begin("select 1")))
    assert secure.run("") == []
    assert secure.run("do $$ begin raise notice 'x'; end $$; listen x; notify x; set timezone = 'UTC'") == []
    error = failing(lambda: secure.run("copy pg_class to stdout"))
    assert "starts a copy" in str(error)


def test_copies_one_after_the_other(secure: Secure) -> None:
    for count in (3, 300_000):
        secure.begin(f"copy (select g, 'é' from generate_series(1, {count}) g) to stdout")
        found = gather(secure, ready)
        rows = b"".join(body for kind, body in found if kind == b"d").decode().splitlines()
        assert rows == [f"{number}\té" for number in range(1, count + 1)]
        secure.finish(joined(found))
    secure.begin("copy (select 1 / (3 - g) from generate_series(1, 5) g) to stdout")
    assert failing(lambda: secure.finish(doing="copying")).facts["sqlstate"] == "22012"
    secure.begin(SLOW)
    secure.cancel()
    assert failing(secure.finish).facts["sqlstate"] == "57014"
    assert secure.run("select 1") == [("1",)]


def test_nothing_waits_and_what_a_sink_raises_passes(secure: Secure) -> None:
    assert not secure.wait(0)
    assert not secure.fill(lambda data: None)
    secure.begin("copy (select 1) to stdout")

    def refuse(data: memoryview) -> None:
        raise OSError("the sink's own")

    with pytest.raises(OSError, match="the sink's own"):
        until(lambda: secure.wait(1) and secure.fill(refuse))


def test_a_long_copy_is_handed_over_in_bounded_calls(secure: Secure) -> None:
    secure.begin("copy (select repeat('x', 1000) from generate_series(1, 30000) g) to stdout")
    sizes, calls = [], 0
    done = bytearray()
    while not done.endswith(b"Z\0\0\0\5I"):
        secure.wait(1)
        secure.fill(lambda data: (sizes.append(len(data)), done.extend(data[-6:])))
        calls += 1
    assert sum(sizes) > 30_000_000
    assert max(sizes) <= 288 * 1024
    assert calls >= 7


def test_a_stream_of_changes_with_answers_sent_meanwhile(
    server: InstalledPostgres, walsender: Secure
) -> None:
    admin(
        server,
        "create table changed (id int primary key, t text)",
        "create publication everything for table changed",
    )
    create = "CREATE_REPLICATION_SLOT secure_slot TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
    assert walsender.run(create)[0][0] == "secure_slot"
    admin(server, "insert into changed select g, repeat('x', 100) from generate_series(1, 50000) g")
    walsender.begin(
        "START_REPLICATION SLOT secure_slot LOGICAL 0/0 (proto_version '1', publication_names 'everything')"
    )
    stopped = threading.Event()
    failures: list[EtlError] = []

    def answer() -> None:
        try:
            while not stopped.wait(0.001):
                walsender.send(copy_data(struct.pack(">cqqqqB", b"r", 0, 0, 0, 0, 1)))
        except EtlError as error:
            failures.append(error)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        found = gather(walsender, lambda _, body: body[:1] == b"w" and body[25:26] == b"C")
    finally:
        stopped.set()
        thread.join()
    assert not failures
    assert sum(body[25:26] == b"I" for _, body in found if body[:1] == b"w") == 50_000
    assert any(body[:1] == b"k" for _, body in found)
    admin(server, "select pg_terminate_backend(active_pid) from pg_replication_slots")
    error = failing(walsender.finish)
    assert (type(error), error.facts["sqlstate"]) == (RetryableError, "57P01")
    error = failing(lambda: [walsender.fill(lambda data: None) for _ in range(100)])
    assert (type(error), error.message) == (RetryableError, "the connection to the server was lost")


def test_a_stream_ends_in_order(server: InstalledPostgres, walsender: Secure) -> None:
    admin(server, "create publication nothing")
    walsender.run("CREATE_REPLICATION_SLOT brief_slot TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT")
    walsender.begin(
        "START_REPLICATION SLOT brief_slot LOGICAL 0/0 (proto_version '1', publication_names 'nothing')"
    )
    walsender.send(b"c\0\0\0\4")
    walsender.finish(joined(gather(walsender, lambda kind, _: kind == b"c")))
    assert walsender.run("IDENTIFY_SYSTEM")


def test_the_end_of_a_session_is_an_error_once_all_was_handed_over(
    server: InstalledPostgres, secure: Secure
) -> None:
    secure.begin(SLOW)
    gather(secure, lambda *_: True)
    others = "query like 'copy%' and pid <> pg_backend_pid()"
    admin(server, f"select pg_terminate_backend(pid) from pg_stat_activity where {others}")
    found = bytearray()

    def read_on() -> None:
        while True:
            secure.wait(1)
            secure.fill(found.extend)

    error = failing(read_on)
    assert (type(error), error.message) == (RetryableError, "the connection to the server was lost")
    assert b"57P01" in found
    assert secure.wait(60)
    assert isinstance(failing(lambda: secure.finish(bytes(found[found.index(b"E\0\0") :]))), RetryableError)
    secure.close()
    assert isinstance(failing(lambda: secure.send(b"x")), RetryableError)


def test_another_server_than_the_one_that_was_chosen(server: InstalledPostgres) -> None:
    """As behind a balancer of load: a connection may end at a server of another kind."""
    where = dsn(server, sslmode="require", target_session_attrs="read-write")
    opened(where).close()
    with libpq(where) as connection:
        admin(server, "alter database postgres set default_transaction_read_only = on")
        try:
            assert open_secure(connection, replication=False) is None
        finally:
            admin(server, "set default_transaction_read_only = off", "alter database postgres reset all")
