"""A pipeline over TLS: both of its kinds of connections verify the server and show a certificate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shop import Shop
from support.tls import Certificates, TlsProxy

from etl_core import Secret
from etl_core.errors import ConfigError
from etl_pglib.client import connect
from etl_pglib.secure import open_secure

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    directory = tmp_path / "certificates"
    directory.mkdir()
    return Certificates(directory).create()


@pytest.fixture
def proxy(shop: Shop, certificates: Certificates) -> Iterator[TlsProxy]:
    with TlsProxy.before(("127.0.0.1", shop.database.server.port), certificates) as proxy:
        yield proxy


def dsn(shop: Shop, proxy: TlsProxy, **options: object) -> str:
    base = f"host=127.0.0.1 port={proxy.port} user=postgres dbname={shop.database.name}"
    return " ".join([base, *(f"{name}='{value}'" for name, value in options.items())])


def test_snapshot_and_stream_through_verified_tls(
    shop: Shop, proxy: TlsProxy, certificates: Certificates
) -> None:
    certificate, key = certificates.sign("client", "postgres")
    trust = {"sslmode": "verify-full", "sslrootcert": certificates.authority}
    shop.write(extract={"dsn": dsn(shop, proxy, **trust, sslcert=certificate, sslkey=key)})
    shop.once()
    before = proxy.handshakes
    shop.database.execute("update orders set total = 0 where id < 50", "delete from orders where id = 60")
    shop.once()
    shop.assert_equal()
    assert before >= 2
    assert proxy.handshakes >= before + 2


@pytest.mark.parametrize("pg_version", [16, 18])
def test_a_second_session_beside_libpqs_shows_the_same_certificate(
    shop: Shop, proxy: TlsProxy, certificates: Certificates
) -> None:
    certificate, key = certificates.sign("client", "postgres")
    trust = {"sslmode": "verify-full", "sslrootcert": certificates.authority}
    shown = Secret(dsn(shop, proxy, **trust, sslcert=certificate, sslkey=key))
    with connect(shown, application_name="test") as connection:
        secure = open_secure(connection, replication=True)
    assert secure is not None
    assert proxy.handshakes == 2
    create = "CREATE_REPLICATION_SLOT second TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT"
    assert secure.run(create)[0][0] == "second"
    secure.begin("START_REPLICATION SLOT second LOGICAL 0/0 (proto_version '1', publication_names 'none')")
    secure.close()
    assert proxy.handshakes == 3  # closing cancels what runs, over TLS too
    slots = "select 1 from pg_replication_slots where slot_name = 'second'"
    deadline = time.monotonic() + 30
    while shop.database.query(slots):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_certificate_that_is_missing_or_of_another_authority(
    shop: Shop, proxy: TlsProxy, certificates: Certificates, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = Certificates(other).create()
    for options in (
        {"sslmode": "verify-full", "sslrootcert": stranger.authority},
        {"sslmode": "verify-full", "sslrootcert": certificates.authority, "sslcert": "/no/such"},
        {"sslmode": "verify-full", "sslrootcert": "/no/such"},
    ):
        with pytest.raises(ConfigError, match="TLS could not be set up") as raised:
            connect(Secret(dsn(shop, proxy, **options)), application_name="test")
        assert "sslrootcert" in str(raised.value.hint)
