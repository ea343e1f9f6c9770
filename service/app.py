"""The only wiring: what is started in which order, and stopped in the reverse."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import structlog
import torch
from prometheus_client import CollectorRegistry, disable_created_metrics

from scatonline.config import ModelSpec
from scatonline.model import Model
from service.engine import CheckpointSaver, Engine, EngineLimits, History
from service.errors import SettingsError
from service.rpc import RpcServer
from service.settings import Settings
from service.storage.checkpoints import CheckpointStore
from service.storage.folder import FolderLock
from service.telemetry import Instruments, MetricsPage, ReportCollector

VERSION = version("scatonline")
_log = structlog.get_logger(__name__)


async def serve(settings: Settings, ready_file: Path | None = None) -> int:
    """Serves until SIGTERM or SIGINT, then drains: finishes what waits and writes checkpoints.

    Args:
        settings: The service's settings.
        ready_file: Where a small JSON object with the ports is written once requests are answered;
            removed at the end. None: nowhere.

    Returns:
        Exit status: 0 if every acknowledged event is in a checkpoint.

    Raises:
        ServiceError: the settings or the storage forbid a start.
        ScatOnlineError: a model cannot be made, or its checkpoint belongs to another specification.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def fail() -> None:
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    # They would double the number of series.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    instruments = Instruments(registry, VERSION)
    with FolderLock(settings.storage.directory):
        engines = {
            spec.name: build_engine(spec, settings, instruments, fail) for spec in settings.models
        }
        registry.register(ReportCollector(lambda: [each.report for each in engines.values()]))
        page = MetricsPage(registry, settings.metrics.host, settings.metrics.port)
        try:
            return await _serve(engines, settings, instruments, page.port, ready_file, stop)
        finally:
            page.close()


def build_engine(
    spec: ModelSpec,
    settings: Settings,
    instruments: Instruments,
    on_failure: Callable[[], None],
) -> Engine:
    """The engine of one model, continued from its newest whole checkpoint if there is one.

    Raises:
        StorageError: the model's folder cannot be used, or no checkpoint in it is whole.
        StateVersionError: the checkpoint belongs to another specification.
    """
    device = torch_device(settings.device)
    store = CheckpointStore(settings.storage.directory / spec.name, settings.storage.keep)
    checkpoint, damaged = store.load_newest()
    own = instruments.of_model(spec.name)
    own.checkpoints_damaged.set(damaged)
    if checkpoint is None:
        model, history, event = Model(spec, device), History(), None
    else:
        model = Model.restore(spec, checkpoint.tensors, checkpoint.meta, device)
        history, event = History(checkpoint.record), checkpoint.event
        own.checkpoint_event.set(checkpoint.event)
        own.checkpoint_timestamp.set(checkpoint.written_s)
    _log.info("model_ready", model=spec.name, event_number=model.event, device=device)
    return Engine(
        model,
        CheckpointSaver(store, own, settings.storage.checkpoint_every_s, event),
        history,
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


async def _serve(
    engines: Mapping[str, Engine],
    settings: Settings,
    instruments: Instruments,
    metrics_port: int,
    ready_file: Path | None,
    stop: asyncio.Event,
) -> int:
    server = RpcServer(engines, instruments, VERSION, settings.server, settings.limits)
    port = await server.start()
    for engine in engines.values():
        engine.start()
    ports = {"grpc_port": port, "metrics_port": metrics_port, "pid": os.getpid()}
    _log.info("serving", host=settings.server.host, models=list(engines), **ports)
    if ready_file is not None:
        _write_whole(ready_file, json.dumps(ports))
    await stop.wait()

    _log.info("draining")
    await server.stop_accepting()
    saved = await asyncio.gather(*(asyncio.to_thread(engine.drain) for engine in engines.values()))
    await server.stop()
    if ready_file is not None:
        await asyncio.to_thread(ready_file.unlink, missing_ok=True)
    _log.info("stopped", saved=all(saved))
    return 0 if all(saved) else 1


def _write_whole(path: Path, content: str) -> None:
    """Writes a file that a reader sees whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(content)
    unfinished.replace(path)
