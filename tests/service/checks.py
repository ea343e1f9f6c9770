"""Structure checks that do as they are told, in whatever process they run."""

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scatonline.config import ModelSpec
from scatonline.errors import NumericalError

SPEC = ModelSpec(name="scripted", channels=1, shape=(16,))


@dataclass
class Scripted:
    """What all of them have."""

    spec: ModelSpec = SPEC


class Telling(Scripted):
    """Tells where it ran: number, niceness and threads of the process."""

    def run(self) -> Any:
        return os.getpid(), os.nice(0), torch.get_num_threads()


class Broken(Scripted):
    """Ends in an error of the library."""

    def run(self) -> Any:
        raise NumericalError("got a window of nothing, expected one of numbers")


class Odd(Exception):
    """An error that pickle takes apart and cannot put together."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} {where}")


class OddlyBroken(Scripted):
    """Ends in an error that cannot go to another process."""

    def run(self) -> Any:
        raise Odd("lost", "at sea")


@dataclass
class Endless(Scripted):
    """Runs until its process ends, and says that it has begun by making a file."""

    begun: Path = Path()

    def run(self) -> Any:
        self.begun.touch()
        time.sleep(600)


@dataclass
class Elsewhere(Scripted):
    """Has a tensor that is not in the processor's memory."""

    inputs: torch.Tensor = field(default_factory=lambda: torch.zeros(3, device="meta"))


@dataclass
class Locked(Scripted):
    """Has something that belongs to one process."""

    lock: Any = field(default_factory=threading.Lock)
