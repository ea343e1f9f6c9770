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

from scatonline.config import ModelSpec
from scatonline.model import Model
from service.calibration import settled
from service.engine import CheckpointSaver, Engine, EngineLimits
from service.errors import SettingsError
from service.rpc import RpcServer
from service.security.entrance import Entrance
from service.settings import Settings
from service.start import starting_point
from service.storage.checkpoints import CheckpointStore
from service.storage.folder import FolderLock
from service.telemetry import Instruments, MetricsPage, ModelReport, ReportCollector

VERSION = version("scatonline")
_log = structlog.get_logger(__name__)


async def serve(settings: Settings, ready_file: Path | None = None) -> int:
    """Serves until SIGTERM or SIGINT, then drains.

    Args:
        settings: The service's settings.
        ready_file: Where a small JSON object with the ports is written once requests are answered;
            removed at the end. None: nowhere.

    Returns:
        Exit status: 0 if every acknowledged event is in a checkpoint, else 1.

    Raises:
        ServiceError: the settings or the storage forbid a start.
        ScatOnlineError: a model cannot be made, or its checkpoint belongs to another specification.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    # They would double the number of series.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    app = App(settings, on_failure=lambda: loop.call_soon_threadsafe(stop.set))
    ports = await app.start()
    ready = {"grpc_port": ports.grpc, "metrics_port": ports.metrics, "pid": os.getpid()}
    _log.info("serving", host=settings.server.host, models=list(app.engines), **ready)
    if ready_file is not None:
        _write_whole(ready_file, json.dumps(ready))
    await stop.wait()
    _log.info("draining")
    saved = await app.stop()
    if ready_file is not None:
        await asyncio.to_thread(ready_file.unlink, missing_ok=True)
    _log.info("stopped", saved=saved)
    return 0 if saved else 1


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
        registry = CollectorRegistry()
        instruments = Instruments(registry, VERSION)
        entrance = Entrance(
            settings.security, settings.server, settings.metrics, instruments.entrance
        )
        with ExitStack() as opened:
            opened.enter_context(FolderLock(settings.storage.directory))
            self.engines = {
                spec.name: build_engine(spec, settings, instruments, on_failure)
                for spec in settings.models
            }
            registry.register(ReportCollector(self._reports))
            self._page = MetricsPage(
                registry, settings.metrics.host, settings.metrics.port, entrance.page_context
            )
            opened.callback(self._page.close)
            self._rpc = RpcServer(
                self.engines, instruments, VERSION, settings.server, settings.limits, entrance
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
        for engine in self.engines.values():
            engine.start()
        return Ports(grpc=port, metrics=self._page.port)

    async def stop(self) -> bool:
        """Takes nothing new, finishes what waits, writes checkpoints and closes everything.

        Returns:
            True if every acknowledged event is in a checkpoint.
        """
        await self._rpc.stop_accepting()
        drained = (asyncio.to_thread(engine.drain) for engine in self.engines.values())
        saved = await asyncio.gather(*drained)
        await self._rpc.stop()
        self._opened.close()
        return all(saved)

    def _reports(self) -> list[ModelReport]:
        return [engine.report for engine in self.engines.values()]


def build_engine(
    spec: ModelSpec,
    settings: Settings,
    instruments: Instruments,
    on_failure: Callable[[], object],
) -> Engine:
    """The engine of one model, continued from its newest whole checkpoint if there is one.

    Without one it starts from what was fitted for it, where the settings name that.

    Raises:
        StorageError: the model's folder cannot be used, or no checkpoint in it is whole.
        StateVersionError: the checkpoint belongs to another specification.
        SettingsError: the model's family is to be chosen and there is nothing to choose it from, or
            there is nothing where it is to start from.
    """
    device = torch_device(settings.device)
    store = CheckpointStore(settings.storage.directory / spec.name, settings.storage.keep)
    checkpoint, damaged = store.load_newest()
    own = instruments.of_model(spec.name)
    own.checkpoints_damaged.set(damaged)
    fitted = settings.start.get(spec.name) if checkpoint is None else None
    begin = checkpoint if fitted is None else starting_point(spec.name, fitted)
    spec = settled(spec, begin, settings.calibration.get(spec.name), device)
    if begin is None:
        model = Model(spec, device)
    else:
        model = Model.restore(spec, begin.tensors, begin.meta, device)
    # What it starts from is another's: its own storage holds nothing yet.
    saved_event = None
    if checkpoint is not None:
        saved_event = checkpoint.event
        own.checkpoint_event.set(checkpoint.event)
        own.checkpoint_timestamp.set(checkpoint.written_s)
    _log.info("model_ready", model=spec.name, event_number=model.event, device=device)
    return Engine(
        model,
        CheckpointSaver(store, own, settings.storage.checkpoint_every_s, saved_event),
        own,
        EngineLimits(
            queue_depth=settings.limits.queue_depth, report_every_s=settings.metrics.refresh_s
        ),
        on_failure,
    )


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
