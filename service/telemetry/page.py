"""The page that Prometheus scrapes."""

import socket
import ssl
import sys
import threading
from collections.abc import Callable
from wsgiref.simple_server import WSGIRequestHandler, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from service.errors import SettingsError

_SILENCE_S = 10.0
_log = structlog.get_logger(__name__)


class MetricsPage:
    """Serves a registry over HTTP at every path, `/metrics` by convention.

    Args:
        registry: What is shown.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        context: Gives what encrypts the next connection; None: plain text.

    Raises:
        SettingsError: the address cannot be listened on.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        host: str,
        port: int,
        context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        try:
            self._server = make_server(
                host, port, make_wsgi_app(registry), _server(host, port, context), _Silent
            )
        except OSError as error:
            raise SettingsError(
                f"metrics: cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Silent(WSGIRequestHandler):
    """Writes no line per scrape, and leaves who says nothing."""

    timeout = _SILENCE_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Says nothing."""


def _server(
    host: str, port: int, context: Callable[[], ssl.SSLContext] | None
) -> type[ThreadingWSGIServer]:
    """A kind of server for the address's family that encrypts each connection."""

    class Server(ThreadingWSGIServer):
        address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]

        def get_request(self) -> tuple[socket.socket, object]:
            connection, address = super().get_request()
            if context is None:
                return connection, address
            # The handshake is left to the connection's own thread: a peer that does not go on with
            # it keeps nobody else waiting.
            encrypted = context().wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            return encrypted, address

        def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
            _log.debug("page_not_sent", peer=client_address, reason=repr(sys.exception()))

    return Server
