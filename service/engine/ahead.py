"""Samples that are about to be applied one after the other are transformed together before."""

from collections.abc import Sequence
from typing import Any

import structlog

from service.engine.events import Event, SampleArrived
from service.engine.served import Served

_log = structlog.get_logger(__name__)


def look_ahead(events: Sequence[Event[Any]], served: Served) -> None:
    """Saves work; what becomes of an event is the same, to the bit, whatever happens here.

    Args:
        events: What will be applied next, in this order.
        served: What they will change.
    """
    samples = [event.sample for event in events if isinstance(event, SampleArrived)]
    if len(samples) < 2:
        return
    try:
        served.model.look_ahead(samples)
    except Exception:  # noqa: BLE001 (logged; nothing is lost)
        # Each then goes alone in its turn, and the one that is to blame is told so.
        _log.warning("look_ahead_failed", model=served.model.spec.name, exc_info=True)
