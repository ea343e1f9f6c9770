"""Who gives way where threads and processes compete for a processor.

Steps are those of `nice`, counted from the service's own, so that it keeps its place among other
programs. What a thread or process starts inherits its priority.
"""

import os
import sys
import threading

LEARNING = 5
"""The writer's thread and those that it starts: while learning keeps a processor busy, a prediction
comes first. Far lower, and whoever waits for the interpreter's lock would wait for a thread that
has no processor."""
CHECKING = 10
"""A structure check: everything else comes first; but where all processors are busy for long a
check must end, too, and the very lowest would leave it a hundredth of one."""
_LOWEST = 19


def give_way(steps: int) -> None:
    """Lowers the calling thread's priority.

    Only Linux gives threads priorities of their own; elsewhere all keep that of the service.
    """
    if sys.platform == "linux":
        lower(threading.get_native_id(), steps)


def lower(process: int, steps: int) -> None:
    """Lowers the priority of a process, or on Linux of a thread, by its number."""
    own = os.getpriority(os.PRIO_PROCESS, os.getpid())
    os.setpriority(os.PRIO_PROCESS, process, min(own + steps, _LOWEST))
