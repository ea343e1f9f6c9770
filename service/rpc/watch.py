"""Notices as they travel to one watcher."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from scatonline.changes import Alarm
from scatonline.drift import FilterReport
from scatonline.guard import Retreat
from service._generated import scatonline_pb2 as pb
from service.engine import (
    AppliedDecision,
    CheckpointWritten,
    Exists,
    Frozen,
    Notice,
    Notices,
    RolledBack,
    StorageReady,
)
from service.rpc.reports import decision_message, drift_message


async def watched(
    notices: Notices,
    models: frozenset[str],
    stopping: asyncio.Event,
    begun: Callable[[], Awaitable[None]],
) -> AsyncIterator[pb.Notice]:
    """Yields notices of these models, of all if none is named, until the service stops.

    `begun` is awaited once nothing more is missed.
    """
    loop = asyncio.get_running_loop()
    come = asyncio.Event()
    with notices.watch(lambda: loop.call_soon_threadsafe(come.set)) as watcher:
        await begun()
        stopped = asyncio.create_task(stopping.wait())
        stopped.add_done_callback(lambda _: come.set())
        try:
            while not stopping.is_set():
                come.clear()
                while (notice := watcher.take()) is not None:
                    if not models or notice.model in models:
                        yield notice_message(notice)
                await come.wait()
        finally:
            stopped.cancel()


def notice_message(notice: Notice) -> pb.Notice:
    """A notice as it travels."""
    message = pb.Notice(
        model=notice.model, event=notice.event, time_s=notice.time_s, missed=notice.missed
    )
    match notice.what:
        case AppliedDecision() as applied:
            message.decision.CopyFrom(decision_message(applied))
        case Alarm() as alarm:
            message.loss_changed.session = alarm.session
            message.loss_changed.detector = alarm.detector
        case Retreat() as retreat:
            message.filters_given_up.worse = retreat.worse
            message.filters_given_up.standard_error = retreat.se
        case FilterReport() as report:
            message.filter_drifted.filter_id = report.id
            message.filter_drifted.drift.CopyFrom(drift_message(report))
        case Frozen(frozen):
            message.frozen = frozen
        case RolledBack(to_event):
            message.rolled_back_to = to_event
        case StorageReady(ready):
            message.storage_ready = ready
        case CheckpointWritten(of_event):
            message.checkpoint = of_event
        case Exists(exists):
            message.exists = exists
    return message
