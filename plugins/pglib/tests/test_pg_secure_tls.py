"""What TLS accepts and refuses: every verdict is compared with libpq's about the same server."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.scripted import ScriptedServer, refuse
from support.tls import Certificates

from etl_core import Secret
from etl_core.errors import ConfigError, EtlError
from etl_pglib.client import connect
from etl_pglib.secure.certificate import belongs_to, end_point
from etl_pglib.secure.channel import Deadline
from etl_pglib.secure.opening import open_channel
from etl_pglib.secure.parameters import Parameters, Unsupported
from etl_pglib.secure.trust import context

EC = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
DEFAULTS = {
    "channel_binding": "prefer",
    "sslmode": "require",
    "sslcertmode": "allow",
    "sslnegotiation": "postgres",
    "sslsni": "1",
    "ssl_min_protocol_version": "TLSv1.2",
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates")).create()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("stranger")).create()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with the place where libpq looks for files, as yet empty."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".postgresql").mkdir()
    return tmp_path / ".postgresql"


@pytest.fixture
def server(certificates: Certificates) -> Iterator[ScriptedServer]:
    with ScriptedServer.running(shown(certificates)) as server:
        yield server


def shown(
    certificates: Certificates,
    alternatives: str = "IP:127.0.0.1",
    subject: str = "server",
    key: Sequence[str] = EC,
) -> ssl.SSLContext:
    """Return the settings of a server that shows such a certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    made.load_cert_chain(*certificates.sign("shown", subject, alternatives=alternatives, key=key))
    return made


def by_libpq(server: ScriptedServer, host: str, options: dict[str, str]) -> bool:
    """Whether libpq goes on once it has seen the server's certificate."""
    words = {
        "host": host,
        "hostaddr": "127.0.0.1",
        "port": str(server.port),
        "user": "u",
        "connect_timeout": "20",
    }
    dsn = " ".join(f"{name}='{value}'" for name, value in (words | options).items())
    with pytest.raises(EtlError) as raised:
        connect(Secret(dsn), application_name="test")
    said = str(raised.value.facts["server"])
    assert re.search("scripted|certificate|ALPN", said), said
    return "scripted" in said


def ours(server: ScriptedServer, host: str, options: dict[str, str]) -> None:
    parameters = Parameters(host, "127.0.0.1", server.port, {}, Secret(""), DEFAULTS | options)
    channel = open_channel(parameters, context(parameters), Deadline.after(20))
    channel.send(b"hello")
    with pytest.raises(OSError, match="closed"):  # what the server does about it is done
        while channel.wait(20):
            channel.pull()
    channel.close()


def verdict(server: ScriptedServer, host: str = "127.0.0.1", **options: Any) -> bool:
    """Return what we say of a server; libpq has to say the same."""
    words = {name: str(value) for name, value in options.items()}
    try:
        ours(server, host, words)
    except ConfigError:
        accepted = False
    else:
        accepted = True
    assert by_libpq(server, host, words) == accepted
    return accepted


@pytest.mark.parametrize(
    ("subject", "alternatives", "host", "accepted"),
    [
        ("db.test", "", "db.test", True),
        ("db.test", "", "other.test", False),
        ("db.test", "DNS:other.test", "db.test", False),
        ("db.test", "IP:10.0.0.1", "db.test", True),
        ("x", "DNS:other.test,DNS:DB.test", "db.TEST", True),
        ("x", "DNS:*.test", "a.test", True),
        ("x", "DNS:*.test", "test", False),
        ("x", "DNS:*.b.test", "a.b.test", True),
        ("x", "DNS:*.test", "a.b.test", False),
        ("x", "DNS:f*.test", "foo.test", False),
        ("x", "DNS:*", "test", False),
        ("*.test", "", "a.test", True),
        ("x", "IP:127.0.0.1", "127.0.0.1", True),
        ("x", "IP:127.0.0.2", "127.0.0.1", False),
        ("x", "IP:127.0.0.1", "127.1", True),
        ("x", "DNS:127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "DNS:other.test", "127.0.0.1", True),
        ("127.0.0.1", "IP:10.0.0.1", "127.0.0.1", False),
        ("x", "IP:::1", "0::1", True),
        ("x", "IP:::2", "::1", False),
        ("x", "IP:127.0.0.1", "localhost", False),
    ],
)
def test_whose_a_certificate_is(
    certificates: Certificates,
    server: ScriptedServer,
    subject: str,
    alternatives: str,
    host: str,
    accepted: bool,
) -> None:
    server.context = shown(certificates, alternatives, subject)
    root = certificates.authority
    assert verdict(server, host, sslmode="verify-full", sslrootcert=root) == accepted
    assert verdict(server, host, sslmode="verify-ca", sslrootcert=root)


def test_names_that_hide_others_are_nobodys() -> None:
    for name in ("db.test\0.evil.test", "d\u212a.test"):
        assert not belongs_to({"subjectAltName": (("DNS", name),)}, "dk.test")
        assert not belongs_to({"subjectAltName": (("DNS", name), ("DNS", "db.test\0"))}, "db.test")
    assert not belongs_to({"subjectAltName": (("IP Address", "<invalid>"),)}, "127.0.0.1")
    assert not belongs_to({}, "db.test")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_chain_is_verified_wherever_there_is_a_root(
    certificates: Certificates, stranger: Certificates, server: ScriptedServer, home: Path, mode: str
) -> None:
    assert verdict(server, sslmode=mode, sslrootcert=certificates.authority)
    assert not verdict(server, sslmode=mode, sslrootcert=stranger.authority)
    shutil.copy(stranger.authority, home / "root.crt")
    assert not verdict(server, sslmode=mode)
    shutil.copy(certificates.authority, home / "root.crt")
    assert verdict(server, sslmode=mode)


def test_without_a_root_nothing_is_verified_nor_is_more_promised(server: ScriptedServer) -> None:
    assert verdict(server, sslmode="require")
    with pytest.raises(Unsupported):
        ours(server, "127.0.0.1", {"sslmode": "verify-ca"})


def test_roots_of_the_system(
    certificates: Certificates,
    stranger: Certificates,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    assert verdict(server, sslmode="verify-full", sslrootcert="system")
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger.authority))
    assert not verdict(server, sslmode="verify-full", sslrootcert="system")


def revoked(certificates: Certificates, *names: str) -> Path:
    """Return a list of revoked certificates with those of `names`."""
    place = certificates.directory
    (place / "index.txt").write_text("")
    config = place / "ca.cnf"
    config.write_text(
        "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 9\n"
    )
    ca: list[str | Path] = ["openssl", "ca", "-config", config, "-keyfile", "ca.key", "-cert", "ca.crt"]
    actions = [["-revoke", f"{name}.crt"] for name in names] + [["-gencrl", "-out", "list.crl"]]
    for action in actions:
        subprocess.run([*ca, *action], cwd=place, check=True, capture_output=True)
    return place / "list.crl"


def test_revoked_certificates(certificates: Certificates, server: ScriptedServer, home: Path) -> None:
    trust: dict[str, Any] = {"sslmode": "verify-ca", "sslrootcert": certificates.authority}
    assert verdict(server, **trust, sslcrl=revoked(certificates))
    lists = revoked(certificates, "shown")
    assert not verdict(server, **trust, sslcrl=lists)
    hashed = subprocess.run(
        ["openssl", "crl", "-in", lists, "-noout", "-hash"], check=True, capture_output=True, text=True
    )
    directory = home / "lists"
    directory.mkdir()
    shutil.copy(lists, directory / f"{hashed.stdout.strip()}.r0")
    assert not verdict(server, **trust, sslcrldir=directory)
    assert verdict(server, **trust)
    shutil.copy(lists, home / "root.crl")
    assert not verdict(server, **trust)
    with pytest.raises(Unsupported):
        ours(
            server,
            "127.0.0.1",
            {"sslmode": "verify-ca", "sslrootcert": str(certificates.authority), "sslcrl": "/no"},
        )


def test_what_the_handshake_says_of_the_host(certificates: Certificates, server: ScriptedServer) -> None:
    asked: list[str | None] = []
    assert server.context is not None
    server.context.sni_callback = lambda _, name, __: asked.append(name)
    for host, options, name in (
        ("db.test", {}, "db.test"),
        ("db.test", {"sslsni": "0"}, None),
        ("127.0.0.1", {}, None),
        ("127.1", {}, None),
        ("::1", {}, None),
    ):
        asked.clear()
        assert verdict(server, host, sslmode="require", **options)
        assert asked == [name, name]
    with pytest.raises(Unsupported):
        ours(server, ".test", {})


def test_versions_of_tls(certificates: Certificates, server: ScriptedServer) -> None:
    seen: list[str | None] = []

    def inside(secured: ssl.SSLSocket) -> None:
        seen.append(secured.version())
        refuse(secured)

    server.inside = inside
    ours(server, "x", {"ssl_max_protocol_version": "TLSv1.2"})
    ours(server, "x", {"ssl_min_protocol_version": "TLSv1.3"})
    assert server.context is not None
    server.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(Unsupported):
        ours(server, "x", {"ssl_min_protocol_version": "TLSv1.3"})
    assert seen == ["TLSv1.2", "TLSv1.3"]


def test_a_key_that_python_finds_too_weak_is_left_to_libpq(
    certificates: Certificates, server: ScriptedServer
) -> None:
    server.context = shown(certificates, key=("rsa:1024",))
    options = {"sslmode": "verify-ca", "sslrootcert": str(certificates.authority)}
    with pytest.raises(Unsupported):
        ours(server, "127.0.0.1", options)


def test_tls_at_once(certificates: Certificates, server: ScriptedServer) -> None:
    options = {"sslmode": "require", "sslnegotiation": "direct"}
    assert not verdict(server, **options)
    assert server.context is not None
    server.context.set_alpn_protocols(["postgresql"])
    assert verdict(server, **options)
    assert verdict(server, sslmode="require")


@pytest.mark.parametrize(("missing", "named"), [("sslnegotiation", "db.test"), ("sslsni", None)])
def test_an_option_that_an_older_libpq_lacks_is_as_that_libpq_does(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, missing: str, named: str | None
) -> None:
    asked: list[str | None] = []
    assert server.context is not None
    server.context.sni_callback = lambda _, name, __: asked.append(name)
    monkeypatch.delitem(DEFAULTS, missing)
    ours(server, "db.test", {})
    assert asked == [named]


def test_the_clients_certificate(
    certificates: Certificates, stranger: Certificates, server: ScriptedServer, home: Path
) -> None:
    asked: list[object] = []
    assert server.context is not None
    server.context.load_verify_locations(certificates.authority)
    server.context.verify_mode = ssl.CERT_OPTIONAL

    def inside(secured: ssl.SSLSocket) -> None:
        asked.append(bool(secured.getpeercert(binary_form=True)))
        refuse(secured)

    server.inside = inside
    certificate, key = certificates.sign("client", "u", key=EC)
    key.chmod(0o600)
    locked = key.with_name("locked.key")
    lock: list[str | Path] = [
        "openssl",
        "ec",
        "-aes256",
        "-passout",
        "pass:sesame",
        "-in",
        key,
        "-out",
        locked,
    ]
    subprocess.run(lock, check=True, capture_output=True)
    locked.chmod(0o600)
    own: dict[str, Any] = {"sslmode": "require", "sslcert": certificate}
    assert verdict(server, **own, sslkey=key)
    assert verdict(server, **own, sslkey=key, sslcertmode="disable")
    assert verdict(server, **own, sslkey=locked, sslpassword="sesame")
    assert asked == [True, True, False, False, True, True]
    for name, file in (("postgresql.crt", certificate), ("postgresql.key", key)):
        shutil.copy(file, home / name)
    assert verdict(server, sslmode="require")
    assert asked[6:] == [True, True]
    for wrong in ({"sslkey": str(locked)}, {"sslkey": "/no/such"}):
        with pytest.raises(Unsupported):
            ours(server, "x", {"sslcert": str(certificate), **wrong})


def test_a_home_that_only_the_system_knows(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    verdict(server, sslmode="require")  # whatever lies there, libpq says the same


@pytest.mark.parametrize(
    ("key", "digest", "taken"),
    [
        (EC, "sha256", "sha256"),
        (EC, "sha384", "sha384"),
        (EC, "sha1", "sha256"),
        (("rsa:2048",), "sha512", "sha512"),
        (("rsa:2048",), "sha224", "sha224"),
    ],
)
def test_what_channel_binding_binds_to(
    certificates: Certificates, key: Sequence[str], digest: str, taken: str
) -> None:
    file, _ = certificates.sign("bound", "server", key=key, digest=digest)
    show: list[str | Path] = ["openssl", "x509", "-in", file, "-noout", "-fingerprint", f"-{taken}"]
    wanted = subprocess.run(show, check=True, capture_output=True, text=True).stdout.split("=")[1]
    der = ssl.PEM_cert_to_DER_cert(file.read_text())
    assert end_point(der).hex(":").upper() == wanted.strip()
    for cut in (0, 1, 5, 300, len(der) - 1):
        with pytest.raises(Unsupported):
            end_point(der[:cut])
    with pytest.raises(Unsupported):
        end_point(b"\x04" + der[1:])
