"""What was answered to whom: a request that comes again gets the same and changes nothing."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatonline.sample import Outcome, Prediction

DIGEST_BYTES = 16


@dataclass(frozen=True)
class Request:
    """A request that may come again.

    Attributes:
        kind: `sample` or `label`.
        session: Its session.
        sample_id: Its sample.
        digest: Of what it says, so that another request under the same id is told apart.
    """

    kind: str
    session: str
    sample_id: str
    digest: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        """What another request must not share while this one is under way."""
        return self.kind, self.session, self.sample_id


def digest(*parts: NDArray[np.generic] | str | None) -> bytes:
    """Of arrays (type, shape, elements), texts and their absence."""
    hashed = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        if isinstance(part, np.ndarray):
            hashed.update(_layout(part.dtype, part.shape))
            hashed.update(np.ascontiguousarray(part).data)
        else:
            hashed.update(json.dumps(part).encode())
    return hashed.digest()


@lru_cache(maxsize=256)
def _layout(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Type and shape; written once for what comes again and again."""
    return f"{dtype.str}{shape}".encode()


class Answers:
    """The newest answers, a bounded number.

    Args:
        limit: Answers kept; 0 keeps none.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[tuple[str, str, str], tuple[bytes, Outcome]] = OrderedDict()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def find(self, request: Request) -> Outcome | None:
        """The answer that the same request got; None if it is new, forgotten or says otherwise."""
        known, outcome = self._kept.get(request.key, (None, None))
        return outcome if known == request.digest else None

    def keep(self, request: Request, outcome: Outcome) -> None:
        """Remembers an answer; beyond the limit the oldest goes."""
        self._kept.pop(request.key, None)
        self._kept[request.key] = (request.digest, outcome)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def state(self) -> tuple[list[Any], NDArray[np.float32]]:
        """JSON-safe rows and all predicted values, one after the other."""
        rows, values = [], []
        for key, (known, outcome) in self._kept.items():
            predicted = outcome.prediction
            values.append(predicted.values)
            rows.append(
                [
                    *key,
                    known.hex(),
                    len(predicted.values),
                    predicted.event,
                    outcome.learned,
                    outcome.pending,
                    outcome.loss,
                    outcome.event,
                ]
            )
        return rows, np.concatenate(values) if values else np.zeros(0, dtype=np.float32)

    def load(self, rows: list[Any], values: NDArray[np.float32]) -> None:
        """Inverse of :meth:`state`."""
        self._kept.clear()
        begin = 0
        for kind, session, sample_id, known, count, seen, learned, pending, loss, event in rows:
            own = np.array(values[begin : begin + count], dtype=np.float32)
            begin += count
            outcome = Outcome(sample_id, Prediction(own, seen), learned, pending, loss, event)
            self._kept[kind, session, sample_id] = bytes.fromhex(known), outcome


class Sequences:
    """Counts the samples that their numbers say were lost on the way.

    Attributes:
        missing: Numbers that were skipped and did not come later.
    """

    def __init__(self) -> None:
        self.missing = 0
        self._newest: dict[str, int] = {}

    def note(self, session: str, number: int | None) -> None:
        """A sample has come; numbers go up by one, and one that comes late was not lost."""
        if number is None:
            return
        newest = self._newest.get(session)
        if newest is None or number > newest:
            self.missing += 0 if newest is None else number - newest - 1
            self._newest[session] = number
        elif self.missing:
            self.missing -= 1

    def state(self) -> dict[str, Any]:
        """JSON-safe."""
        return {"missing": self.missing, "newest": self._newest}

    def load(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.missing, self._newest = state["missing"], dict(state["newest"])
