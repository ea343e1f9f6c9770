"""The service's certificate: checked when it is read, and replaced while the service runs."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from service.errors import SettingsError
from service.security.files import Reread, private_bytes, public_bytes

KEY = "security.tls"


@dataclass(frozen=True)
class Files:
    """PEM files of one end of a connection.

    Attributes:
        certificate: The service's certificate, followed by those between it and its authority.
        key: Its private key, without a passphrase.
        client_ca: Authorities whose certificates clients must show (mTLS); None: none is asked for.
    """

    certificate: Path
    key: Path
    client_ca: Path | None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(filter(None, (self.certificate, self.key, self.client_ca)))


@dataclass(frozen=True)
class _Pair:
    """What the files hold, as gRPC and the standard library take it."""

    grpc: grpc.ServerCertificateConfiguration
    context: ssl.SSLContext


class Certificates:
    """Encrypts connections with what the files hold when a connection is made.

    Open connections go on with what they began with.

    Args:
        files: Where certificate, key and authorities are.
        on_failure: Called when changed files were refused; the old ones stay in use.
        on_expiry: Called with the Unix time at which the certificate in use expires.

    Raises:
        SettingsError: a file cannot be read or used, or a certificate has expired.
    """

    def __init__(
        self,
        files: Files,
        on_failure: Callable[[], object] = lambda: None,
        on_expiry: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._files = files
        self._on_expiry = on_expiry
        self._pair = Reread(KEY, files.paths, self._read, on_failure)

    def credentials(self) -> grpc.ServerCredentials:
        """For a port of a gRPC server, which asks for the certificate at every handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._pair.current().grpc,
            lambda: self._pair.current().grpc,
            require_client_authentication=self._files.client_ca is not None,
        )

    def context(self) -> ssl.SSLContext:
        """For one connection to another server of this process."""
        return self._pair.current().context

    def _read(self) -> _Pair:
        files = self._files
        chain = public_bytes(f"{KEY}.certificate", files.certificate)
        leaf = _in_force(f"{KEY}.certificate", files.certificate, chain)
        key = private_bytes(f"{KEY}.key", files.key)
        _refuse_other_key(files, leaf, key)
        authorities = None
        if files.client_ca is not None:
            authorities = public_bytes(f"{KEY}.client_ca", files.client_ca)
            _in_force(f"{KEY}.client_ca", files.client_ca, authorities)
        configuration = grpc.ssl_server_certificate_configuration([(key, chain)], authorities)
        pair = _Pair(configuration, _context(files))
        self._on_expiry(leaf.not_valid_after_utc.timestamp())
        return pair


def _in_force(key: str, path: Path, content: bytes) -> x509.Certificate:
    """The first certificate of a file, if it holds today."""
    try:
        first = x509.load_pem_x509_certificates(content)[0]
    except ValueError as error:
        raise SettingsError(f"{key}: {path} holds no certificate, expected a PEM file") from error
    now, begin, end = datetime.now(UTC), first.not_valid_before_utc, first.not_valid_after_utc
    if not begin <= now <= end:
        raise SettingsError(
            f"{key}: {path} holds from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, "
            f"expected a certificate that holds now, {now:%Y-%m-%d %H:%M} UTC: make a new one"
        )
    return first


def _refuse_other_key(files: Files, leaf: x509.Certificate, content: bytes) -> None:
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause may quote the file.
        raise SettingsError(
            f"{KEY}.key: {files.key} holds no private key that can be used, expected a PEM file "
            "without a passphrase"
        ) from None
    if key.public_key() != leaf.public_key():
        raise SettingsError(
            f"{KEY}.key: {files.key} is not the key of {files.certificate}, expected a pair"
        )


def _context(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key)
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{KEY}: OpenSSL refuses the files: {error}") from error
    return context
