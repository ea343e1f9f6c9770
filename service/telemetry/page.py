"""The page that Prometheus scrapes."""

from prometheus_client import CollectorRegistry, start_http_server

from service.errors import SettingsError


class MetricsPage:
    """Serves a registry over HTTP at every path, `/metrics` by convention.

    Args:
        registry: What is shown.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.

    Raises:
        SettingsError: the address cannot be listened on.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise SettingsError(
                f"metrics: cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
