"""Encrypted connections: who trusts whom, and certificates that change while the service runs."""

import re
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from grpc import StatusCode
from prometheus_client import CollectorRegistry

from service.client.credentials import Tls, open_channel
from service.errors import SettingsError
from service.security.certificates import Certificates, Files
from service.security.entrance import Entrance
from service.settings import MetricsSettings, SecuritySettings, ServerSettings, TlsSettings
from service.telemetry.entrance import EntranceInstruments
from tests.service.locked import Keys, locked_service, status_of, write_private
from tests.service.running import LocalService, scrape, series

STATUS = "/scatonline.v1.ScatOnline/Status"
DAY = timedelta(days=1)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def encrypted(keys: Keys, **tls: str) -> dict[str, Any]:
    """The section `security` with certificates and without tokens."""
    section = keys.security(tokens=None)
    section["tls"].update(tls)
    return section


def reached(service: LocalService, tls: Tls | None) -> bool:
    """Whether a client gets through the handshake."""
    answer = status_of(service, STATUS, None, tls)
    assert answer in (StatusCode.OK, StatusCode.UNAVAILABLE)
    return answer is StatusCode.OK


def expired(keys: Keys) -> None:
    now = datetime.now(UTC)
    keys.certify(keys.authority, not_before=now - 2 * DAY, not_after=now - DAY)


def not_yet(keys: Keys) -> None:
    now = datetime.now(UTC)
    keys.certify(keys.authority, not_before=now + DAY, not_after=now + 2 * DAY)


def of_another_key(keys: Keys) -> None:
    write_private(keys.key, keys.authority.issue_cert("localhost").private_key_pem.bytes())


def with_passphrase(keys: Keys) -> None:
    key = serialization.load_pem_private_key(keys.key.read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    write_private(keys.key, locked)


SLIPS: dict[str, tuple[Callable[[Keys], object], str]] = {
    "expired": (expired, "certificate: .*certificate.pem holds from .*holds now, .*make a new one"),
    "not yet": (not_yet, "certificate: .*certificate.pem holds from .*expected a certificate that"),
    "another key": (of_another_key, "key: .*key.pem is not the key of .*certificate.pem, expected"),
    "passphrase": (with_passphrase, "key: .*key.pem holds no private key .* without a passphrase"),
    "no key": (
        lambda keys: write_private(keys.key, b"junk"),
        "key: .*key.pem holds no private key",
    ),
    "no certificate": (
        lambda keys: write_private(keys.certificate, b"junk"),
        "certificate: .*certificate.pem holds no certificate, expected a PEM file",
    ),
    "no file": (lambda keys: keys.certificate.unlink(), "certificate: .* cannot be read: No such"),
    "key for all": (lambda keys: keys.key.chmod(0o644), "key: .*mode 0644.*expected it to be 0600"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_files_that_cannot_serve_are_refused(keys: Keys, slip: str) -> None:
    spoil, message = SLIPS[slip]
    spoil(keys)
    with pytest.raises(SettingsError, match=rf"security\.tls\.{message}"):
        Certificates(Files(keys.certificate, keys.key, None))


def test_authorities_that_cannot_be_read_are_refused(keys: Keys) -> None:
    with pytest.raises(SettingsError, match=r"security\.tls\.client_ca: .*key.pem holds no cert"):
        Certificates(Files(keys.certificate, keys.key, keys.key))


def test_only_who_trusts_the_authority_connects(keys: Keys) -> None:
    stranger = keys.trust(trustme.CA(), "stranger.pem")
    with locked_service(keys, security=encrypted(keys)) as service:
        assert reached(service, Tls(keys.roots))
        assert not reached(service, Tls(stranger))
        assert not reached(service, None)
        # No public authority vouches for it, and it is not whom the client asks for.
        assert not reached(service, Tls())
        assert not reached(service, Tls(keys.roots, server_name="elsewhere.example"))
        assert reached(service, Tls(keys.roots, server_name="localhost"))


def test_a_client_must_show_a_certificate_where_one_is_asked_for(keys: Keys) -> None:
    with locked_service(keys, security=encrypted(keys, client_ca=str(keys.roots))) as service:
        assert reached(service, keys.client(keys.authority))
        assert not reached(service, Tls(keys.roots))
        assert not reached(service, keys.client(trustme.CA(), "stranger"))


def test_certificates_and_tokens_are_both_asked_for(keys: Keys) -> None:
    security = keys.security()
    security["tls"]["client_ca"] = str(keys.roots)
    own, token = keys.client(keys.authority), keys.held["predict"]
    with locked_service(keys, security=security) as service:
        assert status_of(service, STATUS, token, own) is StatusCode.OK
        assert status_of(service, STATUS, None, own) is StatusCode.UNAUTHENTICATED
        assert status_of(service, STATUS, token, Tls(keys.roots)) is StatusCode.UNAVAILABLE


def test_a_new_certificate_serves_new_connections_and_old_ones_stay(keys: Keys) -> None:
    successor = trustme.CA()
    new_roots = keys.trust(successor, "new.pem")
    expiry = series("scatonline_certificate_expiry_timestamp_seconds")
    with (
        locked_service(keys, security=encrypted(keys)) as service,
        open_channel(service.address, tls=Tls(keys.roots)) as channel,
    ):
        ask = channel.unary_unary(STATUS, None, None)
        ask(b"", timeout=20)
        assert not reached(service, Tls(new_roots))
        ends = datetime.now(UTC).replace(microsecond=0) + 30 * DAY
        keys.certify(successor, not_after=ends)
        assert reached(service, Tls(new_roots))
        assert not reached(service, Tls(keys.roots))
        assert service.scrape()[expiry] == ends.timestamp()
        ask(b"", timeout=20)


def test_new_authorities_of_clients_hold_for_new_connections(keys: Keys) -> None:
    clients = trustme.CA()
    client_ca = keys.trust(clients, "clients.pem")
    first = keys.client(clients, "first")
    with locked_service(keys, security=encrypted(keys, client_ca=str(client_ca))) as service:
        assert reached(service, first)
        successor = trustme.CA()
        keys.trust(successor, "clients.pem")
        assert not reached(service, first)
        assert reached(service, keys.client(successor, "second"))


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_the_files_changes_nothing_and_is_counted(keys: Keys, slip: str) -> None:
    count = series("scatonline_security_files_refused_total", file="certificates")
    with locked_service(keys, security=encrypted(keys)) as service:
        SLIPS[slip][0](keys)
        assert reached(service, Tls(keys.roots))
        assert reached(service, Tls(keys.roots))
        # A certificate and its key are two files, so a handshake may find one without the other.
        assert service.scrape()[count] >= 1


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        ({"certificate": "c.pem"}, "certificate and key, or neither"),
        ({"key": "k.pem"}, "certificate and key, or neither"),
        ({"client_ca": "ca.pem"}, "certificate and key where there is a client_ca"),
    ],
)
def test_half_a_section_is_refused(tls: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TlsSettings.model_validate(tls)


def entrance(host: str, security: SecuritySettings, **metrics: Any) -> Entrance:
    return Entrance(
        security,
        ServerSettings(host=host),
        MetricsSettings(**metrics),
        EntranceInstruments(CollectorRegistry()),
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "rig.example"])  # noqa: S104
@pytest.mark.parametrize(
    ("keep", "lacks"),
    [
        ((), "would not encrypt or ask who calls; expected security.tls.certificate"),
        (("tokens",), "would not encrypt; expected"),
        (("tls",), "would not ask who calls; expected"),
    ],
)
def test_other_machines_find_no_open_door(
    keys: Keys, host: str, keep: tuple[str, ...], lacks: str
) -> None:
    security = {key: value for key, value in keys.security().items() if key in keep}
    with pytest.raises(SettingsError, match=f"server.host: got {host}, .*{lacks}"):
        entrance(host, SecuritySettings(**security))
    entrance(host, SecuritySettings(**security, trust_network=True))


def test_other_machines_are_served_through_a_locked_door(keys: Keys) -> None:
    everyone = "0.0.0.0"  # noqa: S104
    entrance(everyone, SecuritySettings(**keys.security()))
    entrance(everyone, SecuritySettings(**encrypted(keys, client_ca=str(keys.roots))))
    with locked_service(keys, server={"host": everyone, "port": 0}) as service:
        answer = status_of(service, STATUS, keys.held["predict"], Tls(keys.roots))
        assert answer is StatusCode.OK


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_this_machine_is_served_without_keys(host: str) -> None:
    door = entrance(host, SecuritySettings())
    assert not door.interceptors
    assert door.page_context is None


def test_an_encrypted_page_needs_a_certificate() -> None:
    with pytest.raises(SettingsError, match=r"metrics.tls: .*expected security.tls.certificate"):
        entrance("127.0.0.1", SecuritySettings(), tls=True)


def page(service: LocalService, tls: Tls) -> int:
    """Bytes of the encrypted metrics page."""
    context = ssl.create_default_context(cafile=tls.roots)
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    url = f"https://127.0.0.1:{service.ports.metrics}/metrics"
    with urllib.request.urlopen(url, timeout=10, context=context) as shown:
        return len(shown.read())


def test_the_page_is_encrypted_as_calls_are(keys: Keys) -> None:
    metrics = {"port": 0, "tls": True}
    with locked_service(keys, metrics=metrics) as service:
        assert page(service, Tls(keys.roots)) > 1000
        with pytest.raises(OSError):  # noqa: PT011 (the ways in which a plain request ends are many)
            scrape(service.ports.metrics)
        successor = trustme.CA()
        keys.certify(successor)
        assert page(service, Tls(keys.trust(successor, "new.pem"))) > 1000
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            page(service, Tls(keys.roots))


def test_the_page_asks_for_certificates_where_calls_do(keys: Keys) -> None:
    security = encrypted(keys, client_ca=str(keys.roots))
    with locked_service(keys, security=security, metrics={"port": 0, "tls": True}) as service:
        assert page(service, keys.client(keys.authority)) > 1000
        with pytest.raises(OSError):  # noqa: PT011 (refused after the handshake, in one way or another)
            page(service, Tls(keys.roots))


def test_who_begins_no_handshake_keeps_nobody_from_the_page(keys: Keys) -> None:
    with (
        locked_service(keys, metrics={"port": 0, "tls": True}) as service,
        socket.create_connection(("127.0.0.1", service.ports.metrics)),
    ):
        assert page(service, Tls(keys.roots)) > 1000


@pytest.mark.parametrize(
    ("tls", "error", "message"),
    [
        ({"roots": "none"}, FileNotFoundError, "none"),
        ({"roots": "key.pem"}, ValueError, "key.pem, which holds no certificates, expected"),
        ({"certificate": "client.pem"}, ValueError, "a certificate without its key"),
        ({"key": "client.key"}, ValueError, "a key without its certificate"),
        ({"certificate": "client.pem", "key": "key.pem"}, ValueError, "do not belong together"),
    ],
)
def test_a_client_says_which_of_its_files_is_wrong(
    keys: Keys, tls: dict[str, str], error: type[Exception], message: str
) -> None:
    keys.client(keys.authority)
    files: dict[str, Any] = {name: keys.folder / file for name, file in tls.items()}
    with pytest.raises(error, match=message):
        open_channel("localhost:1", tls=Tls(**files))


@pytest.mark.parametrize("token", ["", "a b", "a\n", "é"])
def test_a_client_sends_no_token_that_is_none(token: str) -> None:
    with pytest.raises(ValueError, match="token: got one that is empty or has"):
        open_channel("localhost:1", token=token)


def test_the_certificates_of_the_manual_serve(keys: Keys, repository: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    manual = (repository / "docs" / "security.md").read_text(encoding="utf-8")
    making = next(
        block for block in re.findall(r"```sh\n(.*?)```", manual, re.DOTALL) if "openssl" in block
    )
    subprocess.run(["bash", "-ec", making], cwd=keys.folder, check=True, capture_output=True)
    made = keys.folder / "keys"
    keys.certificate, keys.key = made / "certificate.pem", made / "key.pem"
    with locked_service(keys, security=encrypted(keys)) as service:
        assert reached(service, Tls(made / "roots.pem"))
