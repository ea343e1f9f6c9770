"""Samples that were predicted and wait for their label: a bounded number, the oldest give way.

A label may wait in turn, so that it can be corrected before anything is learned from it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.past import Past, carried
from scatonline.realignment import Decoded
from scatonline.sample import Prediction

# What is kept of a window that realignment has seen.
_DECODED = ("strengths", "opinions", "probabilities")


@dataclass(frozen=True)
class Predicted:
    """A sample as it was when it came: what learning from its label needs.

    Attributes:
        input: ``(channels, *shape)`` float32, scaled.
        prediction: Made before anything was learned from it.
        decoded: What realignment saw in it, where the model has that.
        number: Samples of the session that came before it.
        past: Columns of the newest of those, with lags.
        arrived_s: When it came, on the clock of whoever keeps the model; None where nobody says.
        frozen: It came while nothing was to be learned, and nothing is learned from it later.
        target: Its label, where that is held back; ``(outputs,)`` float32.
        due: Event number from which the label may be learned.
    """

    input: Tensor
    prediction: Prediction
    decoded: Decoded | None = None
    number: int = 0
    past: Past = ()
    arrived_s: float | None = None
    frozen: bool = False
    target: NDArray[np.float32] | None = None
    due: int = 0


class Pending:
    """Predicted samples by (session, id), oldest first.

    Attributes:
        limit: Most that wait at a time.
        expired: Those that gave way before their label came.
    """

    def __init__(self, limit: int) -> None:
        """Empty."""
        self.limit = limit
        self.expired = 0
        self._waiting: dict[tuple[str, str], Predicted] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Whether a sample, (session, id), waits."""
        return key in self._waiting

    def add(self, session: str, sample_id: str, predicted: Predicted) -> list[tuple[str, str]]:
        """Keeps a sample; beyond the limit the oldest without label is given up, and returned."""
        given_up = []
        if len(self._waiting) >= self.limit:
            given_up = [next(key for key, kept in self._waiting.items() if kept.target is None)]
            self.drop(given_up)
        self._waiting[session, sample_id] = predicted
        return given_up

    def drop(self, keys: Iterable[tuple[str, str]]) -> None:
        """Gives samples up."""
        for key in keys:
            del self._waiting[key]
            self.expired += 1

    def held(self, session: str, sample_id: str) -> NDArray[np.float32]:
        """The label of a sample, which was held back."""
        target = self._waiting[session, sample_id].target
        assert target is not None
        return target

    def hold(
        self, session: str, sample_id: str, target: NDArray[np.float32], due: int
    ) -> Predicted:
        """Keeps a label until an event number; one that it has already is corrected."""
        waiting = self._waiting[session, sample_id]
        if waiting.target is not None:
            due = waiting.due
        # A copy: the sender's memory may be used again.
        waiting = replace(waiting, target=np.array(target, dtype=np.float32), due=due)
        self._waiting[session, sample_id] = waiting
        return waiting

    def due(self, event: int) -> list[tuple[str, str]]:
        """Samples, (session, id), whose labels may be learned now, in the order they came due."""
        found = [
            (waiting.due, i, key)
            for i, (key, waiting) in enumerate(self._waiting.items())
            if waiting.target is not None and waiting.due <= event
        ]
        return [key for *_, key in sorted(found)]

    def expire(self, before_s: float) -> list[tuple[str, str]]:
        """Gives up samples that came before a time and have no label yet; returns them."""
        old = []
        for key, waiting in self._waiting.items():
            if waiting.arrived_s is not None and waiting.arrived_s >= before_s:
                # They came in this order.
                break
            if waiting.arrived_s is not None and waiting.target is None:
                old.append(key)
        self.drop(old)
        return old

    def take(self, session: str, sample_id: str) -> Predicted:
        """A sample that waits, which it does no longer."""
        return self._waiting.pop((session, sample_id))

    def restructure(self, index: Tensor) -> None:
        """Follows the columns of one input to another layout: the old of each new one, or −1."""
        # Neighbours share what came before them, and go on to.
        moved: dict[int, Tensor] = {}
        for key, predicted in self._waiting.items():
            for kept in predicted.past:
                if id(kept) not in moved:
                    (moved[id(kept)],) = carried((kept,), index)
            past = tuple(moved[id(kept)] for kept in predicted.past)
            self._waiting[key] = replace(predicted, past=past)

    def see_as(self, other: "Pending") -> None:
        """Takes the past of every sample from another model's pending ones, which are the same."""
        for key, predicted in self._waiting.items():
            self._waiting[key] = replace(predicted, past=other._waiting[key].past)

    def tensors(self) -> dict[str, Tensor]:
        """State, not copied."""
        found: dict[str, Tensor] = {}
        for i, predicted in enumerate(self._waiting.values()):
            found[f"{i}.input"] = predicted.input
            found[f"{i}.prediction"] = torch.from_numpy(predicted.prediction.values)
            found |= {f"{i}.past.{lag}": kept for lag, kept in enumerate(predicted.past, 1)}
            if predicted.target is not None:
                found[f"{i}.target"] = torch.from_numpy(predicted.target)
            if predicted.decoded is not None:
                found |= {f"{i}.{name}": getattr(predicted.decoded, name) for name in _DECODED}
        return found

    def meta(self) -> dict[str, Any]:
        """The rest of the state, JSON-safe."""
        samples = [
            [
                *key,
                p.prediction.event,
                None if p.decoded is None else p.decoded.number,
                p.number,
                len(p.past),
                p.arrived_s,
                p.frozen,
                p.due,
            ]
            for key, p in self._waiting.items()
        ]
        return {"expired": self.expired, "samples": samples}

    def load(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`tensors` and :meth:`meta`."""
        self.expired = meta["expired"]
        self._waiting = {}
        for i, (session, sample_id, event, seen, number, lags, *rest) in enumerate(meta["samples"]):
            arrived_s, frozen, due = rest
            prediction = Prediction(tensors[f"{i}.prediction"].cpu().numpy(), event)
            decoded = None
            if seen is not None:
                decoded = Decoded(seen, *(tensors[f"{i}.{name}"] for name in _DECODED))
            past = tuple(tensors[f"{i}.past.{lag}"] for lag in range(1, lags + 1))
            target = tensors.get(f"{i}.target")
            self._waiting[session, sample_id] = Predicted(
                tensors[f"{i}.input"],
                prediction,
                decoded,
                number,
                past,
                arrived_s,
                frozen,
                None if target is None else target.cpu().numpy(),
                due,
            )
