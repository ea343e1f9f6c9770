"""From columns to predictions."""

import math
from dataclasses import dataclass
from typing import Literal

from scatonline.config.checks import one_of, positive, require

ReadoutKind = Literal["poisson", "gaussian", "softmax"]
Method = Literal["recursive", "window", "factorised"]
Kernel = Literal["linear", "nonlinear"]
Prior = Literal["flat", "learned"]


@dataclass(frozen=True)
class ReadoutSpec:
    """From columns to predictions.

    Attributes:
        kind: ``poisson`` (counts), ``gaussian`` (values) or ``softmax`` (classes).
        method: ``recursive``: a generalised linear model of everything seen, see
            :mod:`scatonline.readout.recursive`; ``window``: a regression that remembers the newest
            inputs, see :mod:`scatonline.readout.window`; ``factorised``: few products of a spatial
            mask and channel weights, see :mod:`scatonline.readout.factorised`.
        ridge: Prior precision of a weight on a standardised column, relative to one observation;
            in structure checks, and by all methods but ``window``.
        forgetting: Weight kept by the past at each sample, in (0, 1]; 1 never forgets; not for
            ``window``.
        window: Samples that ``window`` and ``factorised`` remember.
        rank: Products of a mask and channel weights for an output, from 1 to 8; ``factorised``
            only.
        similarity: What ``window`` can see: ``linear`` functions of the columns, or more.
        noises: Variances of the noise, relative to the signal's, that run side by side.
        memories: Samples in which a function changes that run side by side; 0: it does not change.
        prior: How much each column counts before a session's first sample: ``flat``: all alike;
            ``learned``: as the sessions before have taught, see :mod:`scatonline.readout.prior`,
            which takes some seconds when a session is opened; not for ``factorised``.
        refresh: Learned samples after which the columns of one remembered sample are computed anew,
            since θ has moved; 0: never.
    """

    kind: ReadoutKind = "poisson"
    ridge: float = 100.0
    forgetting: float = 1.0
    method: Method = "recursive"
    window: int = 1024
    rank: int = 1
    similarity: Kernel = "nonlinear"
    noises: tuple[float, ...] = (0.15, 0.5, 1.5)
    memories: tuple[float, ...] = (0.0,)
    prior: Prior = "flat"
    refresh: int = 2

    def __post_init__(self) -> None:
        one_of("readout.kind", self.kind, ("poisson", "gaussian", "softmax"))
        one_of("readout.method", self.method, ("recursive", "window", "factorised"))
        positive("readout.ridge", self.ridge)
        require(0.5 < self.forgetting <= 1, "readout.forgetting", self.forgetting, "in (0.5, 1]")
        require(self.window >= 8, "readout.window", self.window, "at least 8 samples")
        require(1 <= self.rank <= 8, "readout.rank", self.rank, "from 1 to 8")
        one_of("readout.similarity", self.similarity, ("linear", "nonlinear"))
        require(
            len(self.noises) > 0 and all(1e-4 <= n < math.inf for n in self.noises),
            "readout.noises",
            self.noises,
            "one or more finite variances of at least 0.0001",
        )
        require(
            len(self.memories) > 0 and all(m == 0 or 1 <= m < math.inf for m in self.memories),
            "readout.memories",
            self.memories,
            "one or more numbers of samples, each 0 or at least 1",
        )
        priors = ("flat",) if self.method == "factorised" else ("flat", "learned")
        one_of("readout.prior", self.prior, priors)
        require(self.refresh >= 0, "readout.refresh", self.refresh, "at least 0")
