"""A whole model."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from scatonline.config.adaptation import AdaptationSpec
from scatonline.config.bank import BankSpec
from scatonline.config.checks import require
from scatonline.config.features import FeatureSpec
from scatonline.config.learning import LearningSpec
from scatonline.config.readout import ReadoutSpec
from scatonline.config.realignment import RealignmentSpec
from scatonline.config.structure import StructureSpec

_T = TypeVar("_T")


@dataclass(frozen=True)
class ModelSpec:
    """A whole model.

    Attributes:
        name: Name under which a process keeps it.
        channels: Channels of an input; the bank is shared by all of them.
        shape: Size of one channel: ``(N,)`` or ``(M, N)``.
        input_scale: Factor on the input: one number, or one a channel.
        pending: Samples that may wait for their label at a time.
        pending_age_s: Seconds that a sample may wait for its label; 0: any time.
        label_hold: Events by which a late label waits before anything is learned from it; until
            then it may be corrected.
        seed: Root of every random draw.
    """

    name: str
    channels: int
    shape: tuple[int, ...]
    bank: BankSpec = field(default_factory=BankSpec)
    features: FeatureSpec = field(default_factory=FeatureSpec)
    readout: ReadoutSpec = field(default_factory=ReadoutSpec)
    learning: LearningSpec = field(default_factory=LearningSpec)
    structure: StructureSpec = field(default_factory=StructureSpec)
    realignment: RealignmentSpec = field(default_factory=RealignmentSpec)
    adaptation: AdaptationSpec = field(default_factory=AdaptationSpec)
    input_scale: tuple[float, ...] = (1.0,)
    pending: int = 4096
    pending_age_s: float = 0.0
    label_hold: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        require(bool(self.name), "name", self.name, "a name")
        require(self.channels >= 1, "channels", self.channels, "at least 1")
        require(
            len(self.shape) in (1, 2) and min(self.shape, default=0) >= 4,
            "shape",
            self.shape,
            "(N,) or (M, N) with at least 4 samples an axis",
        )
        require(
            len(self.input_scale) in (1, self.channels),
            "input_scale",
            self.input_scale,
            f"one factor or {self.channels}, one a channel",
        )
        require(
            all(0 < abs(s) < math.inf for s in self.input_scale),
            "input_scale",
            self.input_scale,
            "finite factors other than 0",
        )
        require(self.pending >= 1, "pending", self.pending, "at least 1")
        require(
            0 <= self.pending_age_s < math.inf,
            "pending_age_s",
            self.pending_age_s,
            "a finite number of at least 0 seconds",
        )
        require(
            0 <= self.label_hold < self.pending,
            "label_hold",
            self.label_hold,
            f"at least 0 and fewer than pending = {self.pending}",
        )
        require(
            self.bank.average != "none",
            "bank.average",
            self.bank.average,
            "local or global: columns are averages",
        )
        top = max(self.features.orders, default=0)
        require(
            top <= self.bank.max_order,
            "features.orders",
            self.features.orders,
            f"orders up to bank.max_order = {self.bank.max_order}",
        )
        require(
            len(self.shape) > 1 or not self.features.balanced,
            "features.balanced",
            self.features.balanced,
            "False for signals of one dimension: what is balanced are directions",
        )
        possible = self.readout.kind == "softmax" and self.channels >= 2
        require(
            possible or not self.realignment.enabled,
            "realignment.enabled",
            self.realignment.enabled,
            f"False with readout.kind {self.readout.kind} and channels = {self.channels}: it "
            "follows classes (softmax) of at least 2 channels",
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts, lists and numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """Inverse of :meth:`to_dict`; lists become tuples.

        Raises:
            ConfigError: a key is unknown or a value out of range.
        """
        parts = {
            "bank": BankSpec,
            "features": FeatureSpec,
            "readout": ReadoutSpec,
            "learning": LearningSpec,
            "structure": StructureSpec,
            "realignment": RealignmentSpec,
            "adaptation": AdaptationSpec,
        }
        arguments = {
            key: _build(parts[key], value) if key in parts else value
            for key, value in values.items()
        }
        return _build(cls, arguments)


def _build(cls: type[_T], values: Mapping[str, Any]) -> _T:
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    require(not unknown, f"{cls.__name__} keys", unknown, "only " + ", ".join(known))
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
