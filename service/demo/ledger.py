"""What was predicted and what was true, sample by sample, for one model."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.client import Outcome
from service.recordings import LateLabel, RecordedSample

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Stretch:
    """Scored samples of one session that follow each other in the stream.

    Attributes:
        session: Id of the session.
        predictions: `(samples, outputs)`, each made before its sample was learned.
        targets: `(samples, outputs)`, NaN where missing.
    """

    session: str
    predictions: Floats
    targets: Floats


class Ledger:
    """Pairs predictions with targets in the order of the stream, whichever comes first.

    Attributes:
        predict_s: Seconds of single predictions.
        update_s: Seconds of single updates.
        error: What a sample failed with, if one did.
    """

    def __init__(self) -> None:
        self.predict_s: list[float] = []
        self.update_s: list[float] = []
        self.error: BaseException | None = None
        self._lock = threading.Lock()
        self._sessions: list[str] = []
        self._predictions: list[Floats | None] = []
        self._targets: list[Floats | None] = []
        self._events: list[int] = []
        self._index: dict[str, int] = {}
        self._answered = 0
        self._scored = 0

    @property
    def answered(self) -> int:
        """Samples that the service has predicted and taken in."""
        return self._answered

    @property
    def scored(self) -> int:
        """Leading samples whose prediction and target are both known."""
        return self._scored

    def sent(self, sample: RecordedSample) -> int:
        """Enters a sample and returns its number in the stream."""
        with self._lock:
            number = len(self._sessions)
            self._sessions.append(sample.session)
            self._predictions.append(None)
            self._targets.append(sample.target)
            self._events.append(0)
            if sample.target is None:
                self._index[sample.sample_id] = number
            return number

    def predicted(self, number: int, outcome: Outcome) -> None:
        """Enters the service's answer to a sample."""
        with self._lock:
            self._predictions[number] = outcome.prediction.values
            self._events[number] = outcome.event
            self._answered += 1
            self._advance()

    def labelled(self, label: LateLabel) -> None:
        """Enters a target that came late."""
        with self._lock:
            self._targets[self._index.pop(label.sample_id)] = label.target
            self._advance()

    def sample_of(self, event: int) -> int:
        """How many samples the model had taken in when it reached an event."""
        with self._lock:
            return sum(0 < at <= event for at in self._events)

    def sessions(self) -> list[tuple[int, str]]:
        """First sample and id of every session entered so far."""
        with self._lock:
            names = list(self._sessions)
        return [(i, name) for i, name in enumerate(names) if i == 0 or name != names[i - 1]]

    def stretches(self, first: int, last: int) -> list[Stretch]:
        """Scored samples `first` to `last` (exclusive), cut where the session changes."""
        with self._lock:
            last = min(last, self._scored)
            sessions = self._sessions[first:last]
            predictions = self._predictions[first:last]
            targets = self._targets[first:last]
        cuts = [0, *(i for i in range(1, len(sessions)) if sessions[i] != sessions[i - 1])]
        ends = [*cuts[1:], len(sessions)]
        return [
            Stretch(sessions[a], _stacked(predictions[a:b]), _stacked(targets[a:b]))
            for a, b in zip(cuts, ends, strict=True)
            if b > a
        ]

    def _advance(self) -> None:
        while (
            self._scored < len(self._sessions)
            and self._predictions[self._scored] is not None
            and self._targets[self._scored] is not None
        ):
            self._scored += 1


def _stacked(rows: Sequence[Floats | None]) -> Floats:
    return np.stack([row for row in rows if row is not None])
