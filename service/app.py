"""The only wiring: what is started in which order, and stopped in the reverse."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import structlog
import torch
from prometheus_client import CollectorRegistry, disable_created_metrics

from service import memory
from service.engine import InProcess, InThreads, Models, Notices
from service.errors import SettingsError
from service.opening import Opener
from service.rpc import RpcServer
from service.security.entrance import Entrance
from service.settings import Settings
from service.storage.failpoints import arm_from_environment
from service.storage.folder import FolderLock
from service.telemetry import (
    Instruments,
    MetricsPage,
    ModelReport,
    ReportCollector,
    show_check_process,
)

VERSION = version("scatonline")
_log = structlog.get_logger(__name__)


async def serve(settings: Settings, ready_file: Path | None = None) -> int:
    """Serves until SIGTERM or SIGINT, then drains.

    Args:
        settings: The service's settings.
        ready_file: Where a small JSON object with the ports is written once requests are answered;
            removed at the end. None: nowhere.

    Returns:
        Exit status: 0 if it stopped as asked and wrote its checkpoints, or was made to hurry; else
        1. What was acknowledged is stored in any case.

    Raises:
        ServiceError: the settings or the storage forbid a start.
        ScatOnlineError: a model cannot be made, or its checkpoint belongs to another specification.
    """
    memory.settle()
    loop = asyncio.get_running_loop()
    signals = _Signals(loop)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    arm_from_environment()
    # They would double the number of series.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    app = App(settings, on_failure=signals.fail)
    ports = await app.start()
    ready = {"grpc_port": ports.grpc, "metrics_port": ports.metrics, "pid": os.getpid()}
    _log.info("serving", host=settings.server.host, models=sorted(app.models.engines), **ready)
    if ready_file is not None:
        _write_whole(ready_file, json.dumps(ready))
    await signals.stop.wait()
    _log.info("draining")
    signals.again = app.hurry
    saved = await app.stop()
    if ready_file is not None:
        await asyncio.to_thread(ready_file.unlink, missing_ok=True)
    _log.info("stopped", saved=saved)
    return 0 if saved and not signals.failed else 1


class _Signals:
    """SIGTERM and SIGINT: the first one stops the service, one more makes it hurry."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stop = asyncio.Event()
        self.failed = False
        self.again: Callable[[], object] = self.stop.set
        self._loop = loop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._come)

    def fail(self) -> None:
        """Stops the service because something broke; called from any thread."""
        self.failed = True
        self._loop.call_soon_threadsafe(self.stop.set)

    def _come(self) -> None:
        if self.stop.is_set():
            self.again()
        self.stop.set()


@dataclass(frozen=True)
class Ports:
    """TCP ports that a running service listens on."""

    grpc: int
    metrics: int


class App:
    """A whole service; made and used inside one running event loop.

    Args:
        settings: The service's settings.
        on_failure: Called if a writer's thread dies of an unexpected error.

    Raises:
        ServiceError: the settings or the storage forbid a start.
        ScatOnlineError: a model cannot be made, or its checkpoint belongs to another specification.
    """

    def __init__(self, settings: Settings, on_failure: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._drain_s = settings.server.drain_s
        device = torch_device(settings.device)
        registry = CollectorRegistry()
        instruments = Instruments(registry, VERSION, device)
        entrance = Entrance(
            settings.security, settings.server, settings.metrics, instruments.entrance
        )
        notices = Notices()
        process = InProcess()
        show_check_process(registry, lambda: process.pid)
        opener = Opener(
            settings,
            device,
            instruments,
            notices,
            checks=process if device == "cpu" else InThreads(),
            on_failure=on_failure,
            on_storage=self._storage_changed,
        )
        self.models = Models(
            settings.storage.directory,
            settings.limits.models,
            opener.open,
            instruments.forget,
            notices,
        )
        with ExitStack() as opened:
            opened.enter_context(FolderLock(settings.storage.directory))
            opened.callback(process.close)
            registry.register(ReportCollector(self._reports))
            # First, so that it shows how far recovery is.
            self._page = MetricsPage(
                registry, settings.metrics.host, settings.metrics.port, entrance.page_context
            )
            opened.callback(self._page.close)
            self.models.open(settings.models)
            self._rpc = RpcServer(
                self.models,
                notices,
                instruments,
                VERSION,
                server=settings.server,
                limits=settings.limits,
                entrance=entrance,
            )
            self._opened = opened.pop_all()

    async def start(self) -> Ports:
        """Starts answering requests.

        Raises:
            SettingsError: the address cannot be listened on.
        """
        try:
            port = await self._rpc.start()
        except SettingsError:
            self._opened.close()
            raise
        self.models.start()
        return Ports(grpc=port, metrics=self._page.port)

    async def stop(self) -> bool:
        """Takes nothing new, finishes what waits, writes checkpoints and closes everything.

        Returns:
            True if every acknowledged event is stored and the checkpoints were written.
        """
        await self._rpc.stop_accepting()
        engines = self.models.close()
        hurry = self._loop.call_later(self._drain_s, self.hurry)
        saved = await asyncio.gather(*(asyncio.to_thread(engine.drain) for engine in engines))
        hurry.cancel()
        await self._rpc.stop()
        self._opened.close()
        return all(saved)

    def hurry(self) -> None:
        """Makes a stop that is under way refuse what waits and leave the rest to the journal."""
        _log.warning("hurrying")
        for engine in self.models.engines.values():
            engine.hurry()

    def _storage_changed(self) -> None:
        """A disk takes nothing, or takes something again; called from any thread."""
        ready = all(engine.storage_ready for engine in self.models.engines.values())
        self._loop.call_soon_threadsafe(self._rpc.storage_changed, ready)

    def _reports(self) -> list[ModelReport]:
        return [engine.report for engine in self.models.engines.values()]


def torch_device(name: str) -> str:
    """`auto` becomes a GPU where there is one.

    Raises:
        SettingsError: a GPU is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name != "cpu" and not available:
        raise SettingsError(f"device: got {name!r}, expected cpu or auto: torch finds no GPU here")
    return name


def _write_whole(path: Path, content: str) -> None:
    """Writes a file that a reader sees whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(content)
    unfinished.replace(path)
