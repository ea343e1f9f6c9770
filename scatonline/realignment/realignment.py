"""Multichannel windows whose electrodes move: classes from strengths, with help of unlabelled ones.

Every window is looked at when it comes, long before its label: if it and its neighbours are unlike
every class that is known, something moved, and what is known is loosened at once, see
:mod:`scatonline.realignment.classes`. What the strengths say stands beside what a readout says, and
each counts as far as it was right (:mod:`scatonline.realignment.blend`).
"""

import copy
from collections.abc import Mapping
from statistics import median_low
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scatonline.config import RealignmentSpec
from scatonline.realignment.blend import Blend
from scatonline.realignment.classes import MovingClasses
from scatonline.realignment.persistence import HORIZON, Persistence
from scatonline.realignment.placements import placements
from scatonline.realignment.strengths import strengths

# Neighbouring windows, most of which must be unlike all classes.
_NEIGHBOURS = 5


class Decoded(NamedTuple):
    """A window that was looked at: what :meth:`Realignment.learn` needs when its label comes.

    Attributes:
        number: Its place in the order of windows.
        strengths: ``(channels,)`` float64.
        opinions: ``(2, classes)`` float64: the readout's probabilities, and those of the strengths.
        probabilities: ``(classes,)`` float64: the two as one.
    """

    number: int
    strengths: Tensor
    opinions: Tensor
    probabilities: Tensor


class Realignment:
    """Class probabilities that follow electrodes as they move.

    Labels may come in any order, late, or never. Cost is bounded: a prediction takes as many
    triangular factors of ``channels × channels`` as there are hypotheses (three, times the
    placements that are still possible), for at most ``HORIZON`` windows that wait.

    Attributes:
        spec: Settings.
        classes: What is known of the classes.
        persistence: How long classes last.
        blend: How far readout and strengths are trusted.
        arrived: Windows so far.
        learned: Labels so far.
        loosened: ``learned`` at the last alarm, or 0.
        alarms: Number of alarms.
    """

    def __init__(
        self, spec: RealignmentSpec, channels: int, classes: int, device: str = "cpu"
    ) -> None:
        """Knows nothing yet."""
        self.spec = spec
        self.classes = MovingClasses(channels, classes, spec.memory, device)
        self.persistence = Persistence(classes, enabled=spec.persistence)
        self.blend = Blend(2, device)
        self.moves = placements(spec.placement, channels).to(device)
        self.arrived = self.learned = self.loosened = self.alarms = 0
        self._misfits: list[float] = []
        self._newest = torch.zeros(0, channels, dtype=torch.float64, device=device)
        self._waiting: dict[int, Tensor] = {}
        # Filter after all waiting windows; None where it must be run again.
        self._filtered: Tensor | None = None

    @property
    def origin(self) -> Tensor:
        """Where each channel was at the start, by the best hypothesis: ``(channels,)``."""
        table = self.classes.weight.reshape(len(self.classes.origin), -1)
        return self.classes.origin[int(torch.logsumexp(table, 1).argmax())]

    def predict(self, x: Tensor, readout: Tensor) -> Decoded:
        """Looks at a window that has just come.

        Args:
            x: ``(channels, *shape)``.
            readout: ``(classes,)``, probabilities that a readout gives it.
        """
        strength = strengths(x)
        self.classes.start(strength)
        self.arrived += 1
        self._waiting[self.arrived] = strength
        if len(self._waiting) > HORIZON:
            del self._waiting[next(iter(self._waiting))]
        self._watch(strength)
        if self._filtered is None:
            self._filtered = self._run()
        else:
            self._filtered = self._onward(self._filtered, strength)
        opinions = torch.stack((readout.double(), torch.logsumexp(self._filtered, 0).exp()))
        return Decoded(self.arrived, strength, opinions, self.blend(opinions))

    def peek(self, x: Tensor, readout: Tensor) -> Tensor:
        """Probabilities as :meth:`predict` would give them now, without a trace."""
        return self.view().predict(x, readout).probabilities

    def learn(self, decoded: Decoded, chosen: int) -> None:
        """Learns a window's class.

        Args:
            decoded: As :meth:`predict` returned it.
            chosen: Index of the class.
        """
        self._waiting.pop(decoded.number, None)
        self._filtered = None
        self.classes.learn(decoded.strengths, chosen)
        self.persistence.learn(decoded.number, chosen)
        self.blend.learn(decoded.opinions, chosen)
        self.learned += 1

    def view(self) -> "Realignment":
        """A copy that later steps do not change; tensors are shared, none is changed in place."""
        other = copy.copy(self)
        for name in ("classes", "persistence", "blend", "_waiting"):
            setattr(other, name, copy.copy(getattr(self, name)))
        return other

    def tensors(self) -> dict[str, Tensor]:
        """State, not copied."""
        waiting = {f"waiting.{number}": strength for number, strength in self._waiting.items()}
        classes = {f"classes.{name}": t for name, t in self.classes.tensors().items()}
        filtered = {} if self._filtered is None else {"filtered": self._filtered}
        rest = {"blend": self.blend.weight, "newest": self._newest}
        return classes | waiting | filtered | rest

    def meta(self) -> dict[str, Any]:
        """The rest of the state, JSON-safe."""
        return {
            "started": self.classes.started,
            "persistence": self.persistence.meta(),
            "arrived": self.arrived,
            "learned": self.learned,
            "loosened": self.loosened,
            "alarms": self.alarms,
            "misfits": self._misfits,
            "waiting": list(self._waiting),
        }

    def load(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`tensors` and :meth:`meta`: every later step gives the same bits."""
        prefix = "classes."
        known = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        self.classes.load(known, meta)
        self.persistence.load(meta["persistence"])
        self.blend.weight, self._newest = tensors["blend"], tensors["newest"]
        for name in ("arrived", "learned", "loosened", "alarms"):
            setattr(self, name, int(meta[name]))
        self._misfits = [float(m) for m in meta["misfits"]]
        self._waiting = {int(number): tensors[f"waiting.{number}"] for number in meta["waiting"]}
        self._filtered = tensors.get("filtered")

    def _watch(self, strength: Tensor) -> None:
        """Loosens what is known if the newest windows are unlike every class."""
        self._newest = torch.cat((self._newest, strength[None]))[-_NEIGHBOURS:]
        self._misfits = [*self._misfits, float(self.classes.misfit(strength))][-_NEIGHBOURS:]
        typical = median_low(self._misfits)
        settled = self.learned - self.loosened > self.spec.memory
        if settled and len(self._misfits) == _NEIGHBOURS and typical > self.spec.alarm:
            unlike = torch.tensor(self._misfits, device=strength.device) >= typical
            self.classes.loosen(self._newest[unlike], self.moves)
            self.loosened, self.alarms = self.learned, self.alarms + 1
            self._misfits, self._newest = [], self._newest[:0]
            self._filtered = None

    def _run(self) -> Tensor:
        """Filter over all windows that wait: ``(hypotheses, classes)`` logarithms."""
        first, *others = self._waiting.values()
        past = self.persistence.start(self.classes.weight)
        past = _normalised(past + self.classes.density(first))
        for strength in others:
            past = self._onward(past, strength)
        return past

    def _onward(self, past: Tensor, strength: Tensor) -> Tensor:
        """Filter one window on."""
        return _normalised(self.persistence.onward(past) + self.classes.density(strength))


def _normalised(logarithms: Tensor) -> Tensor:
    return logarithms - torch.logsumexp(logarithms.flatten(), 0)
