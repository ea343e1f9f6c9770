"""How the service is entered: what must be locked, and with what."""

import ipaddress
import ssl
from collections.abc import Callable, Sequence

import grpc
import structlog

from service.errors import SettingsError
from service.security.callers import Callers
from service.security.certificates import Certificates, Files
from service.security.interceptor import Guard
from service.security.tokens import Tokens
from service.settings import MetricsSettings, SecuritySettings, ServerSettings, TlsSettings
from service.telemetry.entrance import EntranceInstruments

_log = structlog.get_logger(__name__)


class Entrance:
    """Locks the ports as the settings say.

    Args:
        security: Certificates and tokens.
        server: Address of the gRPC server; what other machines reach must be locked.
        metrics: Address of the Prometheus page.
        instruments: Count what is refused, and tell when the certificate expires.

    Raises:
        SettingsError: other machines could come in, or a file cannot be used.
    """

    def __init__(
        self,
        security: SecuritySettings,
        server: ServerSettings,
        metrics: MetricsSettings,
        instruments: EntranceInstruments,
    ) -> None:
        refuse_open_door(security, server.host)
        self._certificates = _certificates(security.tls, instruments)
        if metrics.tls and self._certificates is None:
            raise SettingsError(
                "metrics.tls: got true without a certificate, expected security.tls.certificate"
            )
        self._page_tls = metrics.tls
        self._guards: list[Guard] = []
        if security.tokens is not None:
            tokens = Tokens(security.tokens, lambda: instruments.count_refused_file("tokens"))
            self._guards.append(Guard(Callers(tokens), instruments.count_failure))
        _log.info(
            "entrance",
            tls=self._certificates is not None,
            client_certificates=security.tls.client_ca is not None,
            tokens=security.tokens is not None,
            trust_network=security.trust_network,
        )

    @property
    def interceptors(self) -> Sequence[Guard]:
        """For the gRPC server."""
        return self._guards

    def add_port(self, server: grpc.aio.Server, address: str) -> int:
        """Opens a port of the gRPC server; returns its number.

        Raises:
            RuntimeError: as gRPC does, if the address cannot be listened on.
        """
        if self._certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self._certificates.credentials())

    @property
    def page_context(self) -> Callable[[], ssl.SSLContext] | None:
        """Gives what encrypts the next connection to the Prometheus page; None: plain text."""
        if self._certificates is None or not self._page_tls:
            return None
        return self._certificates.context


def refuse_open_door(security: SecuritySettings, host: str) -> None:
    """Other machines get in encrypted, by token or certificate, unless their network is trusted.

    Raises:
        SettingsError: they would get in otherwise.
    """
    asks = security.tokens is not None or security.tls.client_ca is not None
    encrypts = security.tls.certificate is not None
    if is_loopback(host) or security.trust_network or (encrypts and asks):
        return
    lacks = ("encrypt",) * (not encrypts) + ("ask who calls",) * (not asks)
    raise SettingsError(
        f"server.host: got {host}, which other machines can reach, and the service would not "
        f"{' or '.join(lacks)}; expected security.tls.certificate and key, and security.tokens or "
        "security.tls.client_ca; or the host 127.0.0.1. In a network that lets in nobody else, "
        "security.trust_network: true serves all the same (docs/security.md)"
    )


def is_loopback(host: str) -> bool:
    """True if only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _certificates(tls: TlsSettings, instruments: EntranceInstruments) -> Certificates | None:
    if tls.certificate is None or tls.key is None:
        return None
    return Certificates(
        Files(tls.certificate, tls.key, tls.client_ca),
        lambda: instruments.count_refused_file("certificates"),
        instruments.certificate_expiry.set,
    )
