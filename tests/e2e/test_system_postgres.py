"""What the wheel's PostgreSQL lacks: xml, contrib's types and channel binding, on an installed PostgreSQL.

Where none is found these tests are named as not run, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.installed import InstalledPostgres
from support.shop import Shop
from support.tls import Certificates

from etl_core import Secret
from etl_core.errors import ConfigError
from etl_pglib.client import connect
from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)

PASSWORD = "sesame"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    directory = tmp_path / "certificates"
    directory.mkdir()
    return Certificates(directory).create()


@pytest.fixture
def server(tmp_path: Path, certificates: Certificates) -> Iterator[InstalledPostgres]:
    hba = ["hostssl all,replication scram_owner 127.0.0.1/32 scram-sha-256"]
    server = InstalledPostgres(tmp_path / "pg", hba=hba, temporary=True)
    server.secure(certificates)
    with server:
        yield server


@pytest.fixture
def shop(server: InstalledPostgres, tmp_path: Path) -> Shop:
    database = Database("extras", server.create_database("extras"), server)
    return Shop(database, tmp_path)


def test_xml_and_extensions_types_by_a_channel_bound_connection(
    shop: Shop, certificates: Certificates
) -> None:
    shop.database.execute(
        "create extension hstore; create extension citext",
        "create table t (id int primary key, x xml, h hstore, c citext, hs hstore[])",
        f"create role scram_owner superuser login password '{PASSWORD}'",
    )
    row = """'<a b="c">é</a>', 'k=>"v w", n=>NULL', 'MiXed', array['a=>1'::hstore]"""
    wanted = ('<a b="c">é</a>', '"k"=>"v w", "n"=>NULL', "MiXed", ['"a"=>"1"'])
    shop.database.execute(f"insert into t values (1, {row})")
    base = shop.database.dsn.replace("postgres@", f"scram_owner:{PASSWORD}@")
    bound = f"{base}?sslmode=verify-full&sslrootcert={certificates.authority}&channel_binding=require"
    shop.write(extract={"dsn": bound})
    shop.once()
    shop.database.execute(f"insert into t values (2, {row})")
    shop.once()
    assert shop.mirror("t") == [(1, *wanted), (2, *wanted)]
    unbound = shop.database.dsn + "?sslmode=require&channel_binding=require"
    with pytest.raises(ConfigError, match="channel binding"):
        connect(Secret(unbound), application_name="a role that needs no password")
