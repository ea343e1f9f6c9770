"""A model as it is served: with what was answered, and what its sequence numbers say.

This is what events change, what checkpoints hold, and what a journal replayed from one gives again.
"""

import time
from dataclasses import dataclass

import numpy as np

from scatonline.config import ModelSpec
from scatonline.model import Model
from service.engine.answers import Answers, Sequences
from service.engine.packing import pack, unpack
from service.storage.checkpoints import Checkpoint
from service.storage.records import Position


@dataclass(frozen=True)
class ServedLimits:
    """Bounds of what is kept of a model: sessions, and answers to requests that may come again."""

    sessions: int = 256
    answers: int = 4096


class Served:
    """State of one model and its service; one thread owns it.

    Args:
        model: The model.
        limits: Bounds of what is kept.

    Attributes:
        model: The model; replaced as a whole by a rollback.
        answers: What was answered to whom.
        sequences: Samples lost on the way.
    """

    def __init__(self, model: Model, limits: ServedLimits) -> None:
        self.model = model
        self.limits = limits
        self.answers = Answers(limits.answers)
        self.sequences = Sequences()

    def checkpoint(self, position: Position) -> Checkpoint:
        """A copy of everything, as it is stored."""
        tensors, meta = self.model.state()
        rows, values = self.answers.state()
        beside = {"answers": rows, "sequences": self.sequences.state()}
        return Checkpoint(
            event=self.model.event,
            spec=self.model.spec.to_dict(),
            tensors={
                name: tensor.detach().to("cpu", copy=True).contiguous()
                for name, tensor in tensors.items()
            },
            meta=meta,
            written_s=time.time(),
            position=position,
            service=pack(beside, {"predicted": values}),
        )

    @classmethod
    def restore(
        cls, spec: ModelSpec, checkpoint: Checkpoint, limits: ServedLimits, device: str
    ) -> "Served":
        """Inverse of :meth:`checkpoint`.

        Raises:
            StateVersionError: another format or specification.
            CorruptRecord: what is kept beside the model is no such thing.
        """
        model = Model.restore(spec, checkpoint.tensors, checkpoint.meta, device)
        served = cls(model, limits)
        if checkpoint.service:
            beside, arrays = unpack(checkpoint.service)
            served.answers.load(beside["answers"], arrays["predicted"].astype(np.float32))
            served.sequences.load(beside["sequences"])
        return served

    def replace(self, checkpoint: Checkpoint) -> None:
        """Becomes what a checkpoint holds, but for the event number, which goes on.

        Raises:
            StateVersionError: it is of another specification.
        """
        model = self.model
        other = Served.restore(model.spec, checkpoint, self.limits, model.device)
        other.model.event = model.event + 1
        self.model, self.answers, self.sequences = other.model, other.answers, other.sequences
