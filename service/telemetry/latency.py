"""Latencies: a histogram for Prometheus and exact percentiles over the newest ones for Status."""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from prometheus_client import Histogram

WINDOW = 1000


@dataclass(frozen=True)
class LatencySummary:
    """Percentiles in seconds over the newest `count` requests; 0 where there were none."""

    count: int
    p50_s: float
    p99_s: float


class Latency:
    """Collects the latencies of one kind of request; safe from any thread.

    Args:
        histogram: Where each latency is counted as well.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._newest: deque[float] = deque(maxlen=WINDOW)
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        """Counts one latency."""
        self._histogram.observe(seconds)
        with self._lock:
            self._newest.append(seconds)

    def summary(self) -> LatencySummary:
        """Percentiles over the newest latencies, at most `WINDOW` of them."""
        with self._lock:
            newest = np.fromiter(self._newest, dtype=np.float64)
        if newest.size == 0:
            return LatencySummary(0, 0.0, 0.0)
        p50, p99 = np.percentile(newest, (50, 99))
        return LatencySummary(newest.size, float(p50), float(p99))
