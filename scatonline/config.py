"""Specifications: everything that defines a model before it has seen a sample.

Frozen, validated when made, and JSON-safe through :meth:`ModelSpec.to_dict`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar

from scatonline.errors import ConfigError

Bound = Literal["none", "clamp", "open", "tight"]
Padding = Literal["reflect", "periodic", "zero", "none"]
Average = Literal["local", "global", "none"]
Aliases = Literal["sum", "mean"]
Tie = Literal["filter", "scale", "layer"]
Coupling = Literal["coupled", "free"]
Compression = Literal["none", "sqrt", "log"]
ReadoutKind = Literal["poisson", "gaussian", "softmax"]
Method = Literal["recursive", "window"]
Kernel = Literal["linear", "nonlinear"]
Optimiser = Literal["sgd", "adam"]
Placement = Literal["fixed", "ring"]
# Inputs before a sample whose columns a readout may see: they multiply its columns.
_MOST_LAGS = 16
# Stands for the family that scatonline.choice finds best on a calibration set.
AUTO = "auto"
_T = TypeVar("_T")


def _require(holds: bool, what: str, got: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{what}: got {got!r}, expected {expected}")


def _positive(what: str, got: float) -> None:
    _require(0 < got < math.inf, what, got, "finite and above 0")


def _one_of(what: str, got: str, allowed: tuple[str, ...]) -> None:
    _require(got in allowed, what, got, "one of " + ", ".join(allowed))


@dataclass(frozen=True)
class BankSpec:
    """The scattering transform.

    Attributes:
        family: Wavelet family, a name from :mod:`scatonline.families`; or ``auto``, to be chosen
            by :func:`scatonline.choice.choose_family` before a model is made.
        J: Number of scales; averaging over ``2**J`` samples.
        L: Orientations a scale at the start (2-D).
        Q: Voices an octave for layers 1, 2, … at the start (1-D); the last one repeats.
        max_order: Layers of wavelets; 0 leaves the average of the signal itself.
        padding: What stands beyond the border: the mirrored signal, the signal again, zeros, or
            ``none``: the signal is one period, of a length that is a multiple of ``2**J``.
        bound: How the Littlewood–Paley sum is kept below 1, see :mod:`scatonline.filterbank`.
        oversampling: log₂ of the extra samples kept after each filter.
        average: ``local``: by φ over ``2**J`` samples; ``global``: the mean over the signal;
            ``none``: moduli as they are, each path at its own resolution.
        aliases: How a filter is brought to a sub-sampled grid: ``sum``, so that sub-sampling does
            not change what is computed, or ``mean``, as Kymatio 0.3.0 does over time, which divides
            by the sub-sampling of what the filter acts on.
        order: What a family has orders of: zeros of a Daubechies filter, vanishing moments of a
            coiflet, angles of a lattice, harmonics of steerable filters; 0: the family's own.
        exponentials: Pairs of exponentials that a Daubechies filter learns.
        coupling: Whether they are one at all levels, see :mod:`scatonline.families.daubechies`.
        levels: Scales 0, 1, … that have filters at the start; 0: all. φ stays that of J, so that
            the structure search may open the others.
        layers: Layers that have filters at the start; 0: all, up to ``max_order``.
    """

    family: str = "morlet"
    J: int = 3
    L: int = 8
    Q: tuple[int, ...] = (8, 1)
    max_order: int = 2
    padding: Padding = "reflect"
    bound: Bound = "open"
    oversampling: int = 0
    average: Average = "local"
    aliases: Aliases = "sum"
    order: int = 0
    exponentials: int = 1
    coupling: Coupling = "coupled"
    levels: int = 0
    layers: int = 0

    def __post_init__(self) -> None:
        _require(self.J >= 1, "bank.J", self.J, "at least 1")
        _require(self.L >= 1, "bank.L", self.L, "at least 1 orientation")
        _require(len(self.Q) > 0 and min(self.Q) >= 1, "bank.Q", self.Q, "integers of at least 1")
        _require(self.max_order >= 0, "bank.max_order", self.max_order, "at least 0")
        _one_of("bank.padding", self.padding, ("reflect", "periodic", "zero", "none"))
        _one_of("bank.average", self.average, ("local", "global", "none"))
        _one_of("bank.aliases", self.aliases, ("sum", "mean"))
        _one_of("bank.coupling", self.coupling, ("coupled", "free"))
        _require(self.order >= 0, "bank.order", self.order, "at least 0")
        _require(self.exponentials >= 1, "bank.exponentials", self.exponentials, "at least 1")
        _one_of("bank.bound", self.bound, ("none", "clamp", "open", "tight"))
        _require(self.oversampling >= 0, "bank.oversampling", self.oversampling, "at least 0")
        _require(0 <= self.levels <= self.J, "bank.levels", self.levels, "from 0 to J")
        _require(
            0 <= self.layers <= self.max_order,
            "bank.layers",
            self.layers,
            "from 0 to max_order",
        )


@dataclass(frozen=True)
class FeatureSpec:
    """From scattering maps to the columns that a readout sees.

    Attributes:
        orders: Scattering orders used; empty: no scattering at all.
        grid: Cells along each axis to which maps of order 0, 1, … are averaged; the last one
            repeats, 0 keeps the map as it is.
        compression: Applied to the averaged maps of order ≥ 1.
        order_weight: Factor on the standardised columns of order 0, 1, …; the last one repeats. A
            column with a smaller factor is held closer to zero by the readout's ridge.
        raw_grid: Cells along each axis to which the input itself is averaged and used as linear
            terms beside scattering; 0: none.
        raw_weight: Factor on the standardised raw columns.
        contrast: Where above 0, coefficients of order ≥ 1 are divided by this much more than the
            mean of order 1 at the same place, in the input's units: what a contour is made of then
            counts, and not how bright the light was. 0: they are not.
        calibration: Samples after which the columns' means and scales are frozen.
        lags: Inputs before a sample, of the same session, whose columns stand beside its own, at
            most 16; see :mod:`scatonline.past`. For responses that come some frames late.
    """

    orders: tuple[int, ...] = (0, 1, 2)
    grid: tuple[int, ...] = (4, 4, 2)
    compression: Compression = "sqrt"
    order_weight: tuple[float, ...] = (1.0, 1.0, 0.4)
    raw_grid: int = 0
    raw_weight: float = 1.0
    contrast: float = 0.0
    calibration: int = 64
    lags: int = 0

    def __post_init__(self) -> None:
        _require(
            len(set(self.orders)) == len(self.orders) and all(o >= 0 for o in self.orders),
            "features.orders",
            self.orders,
            "distinct orders of at least 0",
        )
        _require(
            len(self.grid) > 0 and min(self.grid) >= 0,
            "features.grid",
            self.grid,
            "integers of at least 0",
        )
        _one_of("features.compression", self.compression, ("none", "sqrt", "log"))
        _require(
            len(self.order_weight) > 0 and all(0 < w < math.inf for w in self.order_weight),
            "features.order_weight",
            self.order_weight,
            "positive finite factors",
        )
        _require(self.raw_grid >= 0, "features.raw_grid", self.raw_grid, "at least 0")
        _positive("features.raw_weight", self.raw_weight)
        _require(
            0 <= self.contrast < math.inf, "features.contrast", self.contrast, "finite, at least 0"
        )
        _require(self.calibration >= 2, "features.calibration", self.calibration, "at least 2")
        _require(
            0 <= self.lags <= _MOST_LAGS, "features.lags", self.lags, f"from 0 to {_MOST_LAGS}"
        )


@dataclass(frozen=True)
class ReadoutSpec:
    """From columns to predictions.

    Attributes:
        kind: ``poisson`` (counts), ``gaussian`` (values) or ``softmax`` (classes).
        method: ``recursive``: a generalised linear model of everything seen, see
            :mod:`scatonline.readout.recursive`; ``window``: a regression that remembers the newest
            inputs, see :mod:`scatonline.readout.window`.
        ridge: Prior precision of a weight on a standardised column, relative to one observation;
            ``recursive`` only, and in structure checks.
        forgetting: Weight kept by the past at each sample, in (0, 1]; 1 never forgets;
            ``recursive`` only.
        window: Samples that ``window`` remembers.
        similarity: What ``window`` can see: ``linear`` functions of the columns, or more.
        noises: Variances of the noise, relative to the signal's, that run side by side.
        memories: Samples in which a function changes that run side by side; 0: it does not change.
        refresh: Learned samples after which the columns of one remembered sample are computed anew,
            since θ has moved; 0: never.
    """

    kind: ReadoutKind = "poisson"
    ridge: float = 100.0
    forgetting: float = 1.0
    method: Method = "recursive"
    window: int = 1024
    similarity: Kernel = "nonlinear"
    noises: tuple[float, ...] = (0.15, 0.5, 1.5)
    memories: tuple[float, ...] = (0.0,)
    refresh: int = 2

    def __post_init__(self) -> None:
        _one_of("readout.kind", self.kind, ("poisson", "gaussian", "softmax"))
        _one_of("readout.method", self.method, ("recursive", "window"))
        _positive("readout.ridge", self.ridge)
        _require(0.5 < self.forgetting <= 1, "readout.forgetting", self.forgetting, "in (0.5, 1]")
        _require(self.window >= 8, "readout.window", self.window, "at least 8 samples")
        _one_of("readout.similarity", self.similarity, ("linear", "nonlinear"))
        _require(
            len(self.noises) > 0 and all(1e-4 <= n < math.inf for n in self.noises),
            "readout.noises",
            self.noises,
            "one or more finite variances of at least 0.0001",
        )
        _require(
            len(self.memories) > 0 and all(m == 0 or 1 <= m < math.inf for m in self.memories),
            "readout.memories",
            self.memories,
            "one or more numbers of samples, each 0 or at least 1",
        )
        _require(self.refresh >= 0, "readout.refresh", self.refresh, "at least 0")


@dataclass(frozen=True)
class LearningSpec:
    """How the wavelets' parameters θ move.

    Attributes:
        enabled: False keeps θ where it starts.
        optimiser: Gradient rule in the unconstrained coordinates.
        rate: Learning rate.
        momentum: Momentum of ``sgd`` (``adam`` uses 0.9 and 0.99).
        every: Learned samples a step; their gradients are averaged.
        warmup: Learned samples before the first step, so that the readout knows something.
        max_angle_rad: Largest change of an angle in one step, radians.
        max_log_step: Largest change of any other parameter in one step: of its logarithm, or of its
            share of an interval where it is no ratio.
        tie: Which filters move together in everything but their directions: none (``filter``),
            those of a ``scale``, or of a whole ``layer``. One shape learned from all of them needs
            fewer samples.
    """

    enabled: bool = True
    optimiser: Optimiser = "adam"
    rate: float = 0.01
    momentum: float = 0.9
    every: int = 4
    warmup: int = 100
    max_angle_rad: float = 0.02
    max_log_step: float = 0.02
    tie: Tie = "filter"

    def __post_init__(self) -> None:
        _one_of("learning.optimiser", self.optimiser, ("sgd", "adam"))
        _positive("learning.rate", self.rate)
        _require(0 <= self.momentum < 1, "learning.momentum", self.momentum, "in [0, 1)")
        _require(self.every >= 1, "learning.every", self.every, "at least 1")
        _require(self.warmup >= 0, "learning.warmup", self.warmup, "at least 0")
        _positive("learning.max_angle_rad", self.max_angle_rad)
        _positive("learning.max_log_step", self.max_log_step)
        _one_of("learning.tie", self.tie, ("filter", "scale", "layer"))


@dataclass(frozen=True)
class StructureSpec:
    """When filters are dropped or added (maths: CAR index with a confidence bound).

    Attributes:
        enabled: False keeps the filters that the bank starts with.
        window: Recent labelled samples that a check looks at.
        check_every: Learned samples between scheduled checks.
        restarts: Block-bootstrap refits before a removal.
        epsilon: Largest share of the held-out explained variance that the removals of one check
            may cost altogether.
        alpha: Error probability spent over all checks together.
        agreement: Share of restarts that must find the filter harmless.
        min_effective: Effective held-out samples below which nothing is removed.
        cooldown: Windows that must pass between two moves.
        max_filters: Most filters at one scale of one layer.
        min_filters: Fewest filters at one scale of one layer. 0 lets the coarsest scale of a layer
            close, and with its last one the layer, so that levels and order are structure, too; all
            other scales keep one.
        max_drops: Most filters removed by one check, CARs recomputed after each.
        candidates: New filters, or groups of them that open a scale or a layer, tried at each check
            after all were screened; 0 never adds.
    """

    enabled: bool = True
    window: int = 600
    check_every: int = 300
    restarts: int = 5
    epsilon: float = 0.01
    alpha: float = 0.05
    agreement: float = 0.8
    min_effective: float = 100.0
    cooldown: float = 0.25
    max_filters: int = 16
    min_filters: int = 0
    max_drops: int = 2
    candidates: int = 1

    def __post_init__(self) -> None:
        _require(self.window >= 32, "structure.window", self.window, "at least 32 samples")
        _require(self.check_every >= 1, "structure.check_every", self.check_every, "at least 1")
        _require(self.restarts >= 1, "structure.restarts", self.restarts, "at least 1")
        _positive("structure.epsilon", self.epsilon)
        _require(0 < self.alpha < 1, "structure.alpha", self.alpha, "in (0, 1)")
        _require(0 < self.agreement <= 1, "structure.agreement", self.agreement, "in (0, 1]")
        _require(self.min_effective >= 1, "structure.min_effective", self.min_effective, "≥ 1")
        _require(self.cooldown >= 0, "structure.cooldown", self.cooldown, "at least 0 windows")
        _require(
            0 <= self.min_filters <= self.max_filters,
            "structure.min_filters",
            self.min_filters,
            "between 0 and max_filters",
        )
        _require(self.max_filters >= 1, "structure.max_filters", self.max_filters, "at least 1")
        _require(self.max_drops >= 0, "structure.max_drops", self.max_drops, "at least 0")
        _require(self.candidates >= 0, "structure.candidates", self.candidates, "at least 0")


@dataclass(frozen=True)
class RealignmentSpec:
    """How windows of many channels are decoded while electrodes move.

    Attributes:
        enabled: False leaves predictions to the readout alone. True needs classes and at least two
            channels.
        placement: How electrodes may move: ``fixed``: gains change, channels stay;
            ``ring``: they may also turn around a limb, see
            :func:`scatonline.realignment.placements`.
        persistence: Whether neighbouring windows are expected to be of one class.
        memory: Labelled samples for which the spread of windows is remembered, and which must pass
            between two alarms.
        alarm: Squared deviation from the nearest class, in units of what is expected and as the
            mean over channels, above which something moved.
    """

    enabled: bool = False
    placement: Placement = "fixed"
    persistence: bool = True
    memory: float = 100.0
    alarm: float = 10.0

    def __post_init__(self) -> None:
        _one_of("realignment.placement", self.placement, ("fixed", "ring"))
        _require(2 <= self.memory < math.inf, "realignment.memory", self.memory, "at least 2")
        _require(self.alarm > 1, "realignment.alarm", self.alarm, "above 1, what is expected")


@dataclass(frozen=True)
class AdaptationSpec:
    """What a model does when its loss goes up, and what keeps learning from doing harm.

    Attributes:
        detect: Whether a change of the loss is acted upon: what the readout remembers counts for
            less, θ moves faster for a while, and a structure check is due soon. On streams whose
            samples differ in difficulty for long stretches this may cost more than it gains.
        boost: Factor on the rate of θ after a change.
        boosted: Learned samples for which it holds.
        shadow: Whether a model that never moves a filter runs beside; if the learned one is worse
            with confidence, its filters and readouts go back to that one's. It costs about as much
            again as learning without moving θ.
    """

    detect: bool = False
    boost: float = 3.0
    boosted: int = 200
    shadow: bool = False

    def __post_init__(self) -> None:
        _require(1 <= self.boost < math.inf, "adaptation.boost", self.boost, "finite, at least 1")
        _require(self.boosted >= 0, "adaptation.boosted", self.boosted, "at least 0")


@dataclass(frozen=True)
class ModelSpec:
    """A whole model.

    Attributes:
        name: Name under which a process keeps it.
        channels: Channels of an input; the bank is shared by all of them.
        shape: Size of one channel: ``(N,)`` or ``(M, N)``.
        input_scale: Factor on the input: one number, or one a channel.
        pending: Samples that may wait for their label at a time.
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
    seed: int = 0

    def __post_init__(self) -> None:
        _require(bool(self.name), "name", self.name, "a name")
        _require(self.channels >= 1, "channels", self.channels, "at least 1")
        _require(
            len(self.shape) in (1, 2) and min(self.shape, default=0) >= 4,
            "shape",
            self.shape,
            "(N,) or (M, N) with at least 4 samples an axis",
        )
        _require(
            len(self.input_scale) in (1, self.channels),
            "input_scale",
            self.input_scale,
            f"one factor or {self.channels}, one a channel",
        )
        _require(
            all(0 < abs(s) < math.inf for s in self.input_scale),
            "input_scale",
            self.input_scale,
            "finite factors other than 0",
        )
        _require(self.pending >= 1, "pending", self.pending, "at least 1")
        _require(
            self.bank.average != "none",
            "bank.average",
            self.bank.average,
            "local or global: columns are averages",
        )
        top = max(self.features.orders, default=0)
        _require(
            top <= self.bank.max_order,
            "features.orders",
            self.features.orders,
            f"orders up to bank.max_order = {self.bank.max_order}",
        )
        possible = self.readout.kind == "softmax" and self.channels >= 2
        _require(
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
    _require(not unknown, f"{cls.__name__} keys", unknown, "only " + ", ".join(known))
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
