"""How inner loops are compiled, and on how many threads they run.

Loops are written in the part of Python that Numba compiles for the processor at hand, once a
machine: the result is kept on disk. PyTorch has no single operation for any of them, and the passes
over memory that it would take instead cost more than the Fourier transforms between them. Sums run
in an order that does not depend on how many threads share a loop. A loop on one thread is compiled
on its own, and on some processors vectorised in another way: its last bits may then differ from
those of the shared form.
"""

import importlib
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

_MOST_THREADS: int = numba.get_num_threads()
# Numbers below which handing work to a second thread costs more than it saves.
_WORTH_SHARING = 2**12

_HOW: dict[str, Any] = {
    # Everything but the assumption that no number is NaN or infinite.
    "fastmath": {"nsz", "arcp", "contract", "reassoc"},
    # Python's check for a division by zero would keep a loop from being vectorised.
    "error_model": "numpy",
    # Threads that predict do not wait for the one that learns.
    "nogil": True,
}


def inner(function: Callable[..., Any]) -> Any:
    """Compiles a function that loops call."""
    return _compiled(function, parallel=False)


class Loop:
    """A compiled loop in two forms: on one thread, and shared among several."""

    def __init__(self, function: FunctionType) -> None:
        """Prepares both; each is compiled when first called with new types."""
        self.alone = self.shared = inner(function)
        if _threads_are_safe():
            # Numba's cache tells functions apart by name, not by how they are compiled.
            twin = FunctionType(function.__code__, function.__globals__, function.__name__)
            twin.__qualname__ = f"{function.__qualname__}_shared"
            self.shared = _compiled(twin, parallel=True)

    def __call__(self, size: int, *arguments: object) -> None:
        """Runs the form that suits ``size`` numbers."""
        if is_worth_sharing(size):
            self.shared(*arguments)
        else:
            self.alone(*arguments)


def is_worth_sharing(size: int) -> bool:
    """Whether a pass over so many numbers is for several threads."""
    return size >= _WORTH_SHARING and torch.get_num_threads() > 1


def follow_threads() -> None:
    """Lets this thread's loops run on as many threads as PyTorch's operations; once a pass.

    Where that is one, no loop is shared and Numba need not be asked: it answers behind a lock that
    forked processes have in common, and one that is killed meanwhile keeps it for ever.
    """
    most = min(torch.get_num_threads(), _MOST_THREADS)
    if most > 1 and numba.get_num_threads() != most:
        numba.set_num_threads(most)


@lru_cache
def dealt(count: int, threads: int) -> NDArray[np.int64]:
    """Numbers below ``count`` in such an order that equal parts are alike, as cards are dealt.

    Loops are shared among threads in runs of neighbours, and neighbours may be alike in cost.
    """
    return np.concatenate([np.arange(count)[first::threads] for first in range(threads)])


def _compiled(function: Callable[..., Any], *, parallel: bool) -> Any:
    try:
        return numba.njit(function, parallel=parallel, cache=True, **_HOW)
    except RuntimeError:  # nowhere to keep the result: neither the package nor a home is writable
        return numba.njit(function, parallel=parallel, **_HOW)


def _threads_are_safe() -> bool:
    """Whether Numba has a thread pool that several Python threads may use at once."""
    try:
        importlib.import_module("numba.np.ufunc.omppool")
    except ImportError:  # not built, or no OpenMP library on this machine
        return False
    return True
