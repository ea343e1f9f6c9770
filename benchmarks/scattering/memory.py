"""Peak memory of one forward pass, in a process of its own.

``python -m benchmarks.scattering.memory NAME`` prints how many bytes the resident memory rose above
what it was when the transform and its input were ready.
"""

import re
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.scattering import ways
from benchmarks.scattering.cases import MEMORY


def peak(name: str) -> int:
    """Bytes that ``ours`` or ``kymatio`` needs beyond transform and input, measured apart."""
    command = [sys.executable, "-m", __name__, name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _own_peak(name: str) -> int:
    x = ways.signals(MEMORY, torch.device("cpu"))
    make = ways.ours if name == "ours" else ways.kymatio
    # A single signal first: compiled code and thread pools are no part of a pass.
    ways.forward(make(MEMORY), x[:1])()
    call = ways.forward(make(MEMORY), x)
    before = _status("VmRSS")
    # From here on the peak counts anew.
    Path("/proc/self/clear_refs").write_text("5")
    call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found.group(1))


if __name__ == "__main__":
    print(_own_peak(sys.argv[1]))
