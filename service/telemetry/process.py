"""What the processes are and take: build, memory, processor time, memory of the GPU."""

import platform
from collections.abc import Callable, Iterator

import torch
from prometheus_client import CollectorRegistry, Info, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.telemetry.shelf import PREFIX


def show_process(registry: CollectorRegistry, version: str, device: str) -> None:
    """Registers the build, the process and, where models compute on one, the GPU.

    Args:
        registry: Where they are registered.
        version: Version of the service.
        device: What models compute on: `cpu`, `cuda` or `cuda:N`.
    """
    build = Info(f"{PREFIX}build", "What runs; always 1.", registry=registry)
    build.info(
        {
            "version": version,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": device,
        }
    )
    ProcessCollector(registry=registry)
    registry.register(DeviceMemory(device))


def show_check_process(registry: CollectorRegistry, pid: Callable[[], int | None]) -> None:
    """Registers what the process of structure checks takes; no series while there is none.

    Args:
        registry: Where it is registered.
        pid: Its number; None while there is none.
    """
    ProcessCollector(
        namespace=f"{PREFIX}structure_check", pid=lambda: pid() or _NOBODY, registry=registry
    )


class DeviceMemory(Collector):
    """Memory of the GPU at scrape time; no series where models compute on the processor.

    Args:
        device: What models compute on: `cpu`, `cuda` or `cuda:N`.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics, with one series each where there is a GPU."""
        amounts = _memory(self._device)
        for name, meaning in _MEMORY.items():
            family = GaugeMetricFamily(
                f"{PREFIX}device_memory_{name}_bytes", meaning, labels=("device",)
            )
            if name in amounts:
                family.add_metric((str(self._device),), amounts[name])
            yield family


# Names no folder of /proc.
_NOBODY = "nobody"
_MEMORY = {
    "allocated": "Memory of the GPU that this process's tensors take.",
    "reserved": "Memory of the GPU that this process holds, its allocator's cache included.",
    "free": "Memory of the GPU that no process holds.",
    "size": "Memory that the GPU has.",
}


def _memory(device: torch.device) -> dict[str, int]:
    """Bytes by name; none for a processor, or for a GPU that does not answer."""
    if device.type != "cuda":
        return {}
    try:
        free, size = torch.cuda.mem_get_info(device)
        return {
            "allocated": torch.cuda.memory_allocated(device),
            "reserved": torch.cuda.memory_reserved(device),
            "free": free,
            "size": size,
        }
    except RuntimeError:
        # A GPU that was lost must not take the page with it: the page shows the trouble.
        return {}
