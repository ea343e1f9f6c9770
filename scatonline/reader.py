"""A consistent, unchanging view of a model from which other threads predict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from scatonline.cascade import Averages, Filters
from scatonline.config import ModelSpec
from scatonline.errors import UnknownName
from scatonline.features import Layout, Standardiser
from scatonline.past import Past, beside
from scatonline.readout import View
from scatonline.realignment import Realignment
from scatonline.sample import Prediction, check_input, prepare


@dataclass(frozen=True)
class Reader:
    """Snapshot of a model; cheap to take, safe to share between threads.

    Attributes:
        spec: The model's specification.
        event: Its version.
        readouts: By session.
        realignments: By session, where the model has them.
        pasts: By session, columns of the newest inputs: what an input comes after, with lags.
    """

    spec: ModelSpec
    event: int
    device: str
    layout: Layout
    filters: Filters
    averages: Averages | None
    standardiser: Standardiser
    readouts: Mapping[str, View]
    realignments: Mapping[str, Realignment]
    pasts: Mapping[str, Past]

    def predict(self, session: str, x: NDArray[np.generic]) -> Prediction:
        """Prediction for one input, as if it came next in its session.

        Args:
            session: An open session.
            x: ``(channels, *shape)``, any real dtype.

        Raises:
            UnknownName: no such session.
            ShapeError: wrong shape or type.
            NumericalError: NaN or infinite entries.
        """
        if session not in self.readouts:
            raise unknown_session(session, self.readouts)
        check_input(self.spec, x)
        with torch.no_grad():
            scaled = prepare(self.spec, x, self.device)
            own = self.layout.columns(scaled[None], self.filters, self.averages)[0]
            columns = beside(own, self.pasts[session], self.spec.features.lags)
            values = self.readouts[session].predict(self.standardiser(columns))
            if session in self.realignments:
                values = self.realignments[session].peek(scaled, values)
        return Prediction(values.float().cpu().numpy(), self.event)


def unknown_session(session: str, known: Mapping[str, object]) -> UnknownName:
    """The error for a session that was never opened."""
    names = ", ".join(known) or "none yet"
    return UnknownName(f"no session {session!r}, expected one of {names}: open it first")
