"""The gRPC server: the methods, standard health and reflection on one port."""

import asyncio

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.engine import Models, Notices
from service.errors import SettingsError
from service.rpc.calls import Calls
from service.rpc.capacity import Capacity
from service.rpc.decoding import Decoding
from service.rpc.servicer import Servicer
from service.security.entrance import Entrance
from service.settings import LimitSettings, ServerSettings
from service.telemetry import Instruments

_FLUSH_S = 0.5
PING_EVERY_S = 10
"""Seconds between two questions whether the service is there, below which it ends a connection."""
_log = structlog.get_logger(__name__)
SERVICE = pb.DESCRIPTOR.services_by_name["ScatOnline"].full_name


class RpcServer:
    """Serves engines over gRPC; made and used inside one running event loop.

    Args:
        models: The models that there are.
        notices: What watchers are told.
        instruments: Counts what is refused.
        version: Version of the service.
        server: Address and port.
        limits: Sizes of messages and streams.
        entrance: Who may come in.
    """

    def __init__(
        self,
        models: Models,
        notices: Notices,
        instruments: Instruments,
        version: str,
        *,
        server: ServerSettings,
        limits: LimitSettings,
        entrance: Entrance,
    ) -> None:
        self._settings = server
        self._entrance = entrance
        self._servicer = Servicer(Calls(models), notices, instruments, version, limits)
        self._server = grpc.aio.server(
            interceptors=(
                *entrance.interceptors,
                Capacity(limits.calls, self._servicer.abort),
                # The innermost: it keeps methods, which must not hold what a guard said of a call.
                Decoding(self._servicer.abort),
            ),
            options=(
                ("grpc.max_receive_message_length", limits.max_message_bytes),
                ("grpc.max_send_message_length", limits.max_message_bytes),
                # Without it two services could share a port and each get half of the requests.
                ("grpc.so_reuseport", 0),
                ("grpc.http2.min_ping_interval_without_data_ms", 1000 * PING_EVERY_S),
            ),
        )
        self._stopping = False
        self._storage_ready = all(each.storage_ready for each in models.engines.values())
        # asyncio itself keeps no task alive.
        self._reporting: set[asyncio.Future[None]] = set()
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        scatonline_pb2_grpc.add_ScatOnlineServicer_to_server(self._servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (
                SERVICE,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
                reflection.SERVICE_NAME,
            ),
            self._server,
        )

    async def start(self) -> int:
        """Listens, reports SERVING and returns the port.

        Raises:
            SettingsError: the address cannot be listened on.
        """
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            port = self._entrance.add_port(self._server, address)
        except RuntimeError as error:
            raise SettingsError(f"server: cannot listen on {address}: {error}") from error
        await self._server.start()
        await self._report()
        return port

    def storage_changed(self, ready: bool) -> None:
        """Reports NOT_SERVING while a model's disk takes nothing; it still predicts."""
        self._storage_ready = ready
        reporting = asyncio.ensure_future(self._report())
        self._reporting.add(reporting)
        reporting.add_done_callback(self._reporting.discard)

    async def stop_accepting(self) -> None:
        """Reports NOT_SERVING and ends open streams once they have answered."""
        self._stopping = True
        await self._report()
        self._servicer.stop()

    async def stop(self) -> None:
        """Lets open calls end for a while, then closes the port."""
        if not await self._servicer.wait_until_idle(self._settings.drain_s):
            _log.warning("calls_cut_off", waited_s=self._settings.drain_s)
        # Only replies on their way are left, and whoever watches the health for good.
        await self._server.stop(_FLUSH_S)

    async def _report(self) -> None:
        well = self._storage_ready and not self._stopping
        states = health_pb2.HealthCheckResponse
        for service in ("", SERVICE):
            await self._health.set(service, states.SERVING if well else states.NOT_SERVING)
