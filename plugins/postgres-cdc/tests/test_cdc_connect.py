"""How the source gets in: passwords, TLS, and that no secret is ever shown."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cdc_harness import Harness, plain
from tls_proxy import TlsProxy, certificates

from etl_core import AuthError, ConfigError, EtlError, Kind, RetryableError
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database

SECRET = "s3same%2Fopen"


@pytest.fixture
def server(pg_private: Callable[..., EmbeddedPostgres]) -> Database:
    """A server with one role per way to give a password."""
    server = pg_private(
        hba=["host all,replication scrammer all scram-sha-256", "host all,replication hasher all md5"]
    )
    database = Database("postgres", server.dsn, server)
    database.execute(
        "set password_encryption = 'scram-sha-256';"
        "create role scrammer superuser login password 's3same/open'",
        "set password_encryption = 'md5'; create role hasher superuser login password 's3same/open'",
        "create table t (id int primary key)",
        "insert into t values (1)",
    )
    return database


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return certificates(tmp_path)


@pytest.fixture
def proxy(server: Database, directory: Path) -> Iterator[TlsProxy]:
    proxy = TlsProxy(directory, int(server.dsn.rsplit(":", 1)[1].split("/")[0]))
    yield proxy
    proxy.close()


def through(proxy: TlsProxy, directory: Path, login: str, **changes: str) -> str:
    options = {
        "sslmode": "verify-full",
        "sslrootcert": str(directory / "ca.crt"),
        "sslcert": str(directory / "client.crt"),
        "sslkey": str(directory / "client.key"),
        "hostaddr": "127.0.0.1",
    } | changes
    query = "&".join(f"{name}={value}" for name, value in options.items())
    return f"postgresql://{login}@localhost:{proxy.port}/postgres?{query}"


def follow(dsn: str, database: Database, role: str) -> None:
    """Take a snapshot and a change, as this role."""
    source = Harness(dsn, ["public.t"], pipeline=f"by_{role}").start()
    source.batch(Kind.SNAPSHOT_END)
    database.execute("insert into t select max(id) + 1 from t")
    found = plain(source.rows(database.query("select count(*) from t")[0][0]))
    assert found[-1][0] == "i"
    source.close()
    assert source.source.teardown(source.context())
    source.source.close()


def test_the_stream_runs_over_tls_with_a_certificate_and_either_kind_of_password(
    server: Database, proxy: TlsProxy, directory: Path
) -> None:
    for role in ("scrammer", "hasher"):
        follow(through(proxy, directory, f"{role}:{SECRET}"), server, role)
    assert proxy.sessions > 4


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"sslcert": "stranger.crt", "sslkey": "stranger.key"}, EtlError),
        ({"sslrootcert": "stranger.crt"}, ConfigError),
        ({"sslmode": "disable"}, EtlError),
    ],
)
def test_tls_that_does_not_fit_is_refused(
    proxy: TlsProxy, directory: Path, changes: dict[str, str], kind: type[EtlError]
) -> None:
    paths = {name: str(directory / value) if "." in value else value for name, value in changes.items()}
    source = Harness(through(proxy, directory, f"scrammer:{SECRET}", **paths), ["public.t"])
    with pytest.raises(kind) as error:
        source.source.check(source.context())
    assert "s3same" not in "".join(traceback.format_exception(error.value))
    assert proxy.sessions == 0


def test_a_cut_connection_is_a_reason_to_retry_and_loses_nothing(
    server: Database, proxy: TlsProxy, directory: Path
) -> None:
    source = Harness(through(proxy, directory, f"scrammer:{SECRET}"), ["public.t"]).start()
    source.batch(Kind.SNAPSHOT_END)
    server.execute("insert into t values (2)")
    source.rows(2)
    for number in (3, 4):
        proxy.cut()
        with pytest.raises(RetryableError):
            source.until(lambda: False)
        server.execute(f"insert into t values ({number})")
        source.start(source.position)
        source.rows(number)
    source.close()


@pytest.mark.parametrize("role", ["scrammer", "hasher"])
def test_a_wrong_password_is_told_and_never_shown(server: Database, role: str) -> None:
    wrong = "sw0rdfish"
    source = Harness(server.dsn.replace("postgres@", f"{role}:{wrong}@"), ["public.t"])
    assert wrong not in repr(source.config)
    for act in (
        lambda: source.source.check(source.context()),
        lambda: source.source.streams(source.context()),
        lambda: source.source.latest(source.context()),
        lambda: source.start().next(),
    ):
        with pytest.raises(AuthError) as error:
            act()
        assert wrong not in "".join(traceback.format_exception(error.value))
        assert wrong not in repr(error.value.facts)
