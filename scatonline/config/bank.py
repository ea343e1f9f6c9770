"""The scattering transform."""

from dataclasses import dataclass
from typing import Literal

from scatonline.config.checks import one_of, require

Bound = Literal["none", "clamp", "open", "tight"]
Padding = Literal["reflect", "periodic", "zero", "none"]
Average = Literal["local", "global", "none"]
Aliases = Literal["sum", "mean"]
Coupling = Literal["coupled", "free"]
# Stands for the family that scatonline.choice finds best on a calibration set.
AUTO = "auto"


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
        require(self.J >= 1, "bank.J", self.J, "at least 1")
        require(self.L >= 1, "bank.L", self.L, "at least 1 orientation")
        require(len(self.Q) > 0 and min(self.Q) >= 1, "bank.Q", self.Q, "integers of at least 1")
        require(self.max_order >= 0, "bank.max_order", self.max_order, "at least 0")
        one_of("bank.padding", self.padding, ("reflect", "periodic", "zero", "none"))
        one_of("bank.average", self.average, ("local", "global", "none"))
        one_of("bank.aliases", self.aliases, ("sum", "mean"))
        one_of("bank.coupling", self.coupling, ("coupled", "free"))
        require(self.order >= 0, "bank.order", self.order, "at least 0")
        require(self.exponentials >= 1, "bank.exponentials", self.exponentials, "at least 1")
        one_of("bank.bound", self.bound, ("none", "clamp", "open", "tight"))
        require(self.oversampling >= 0, "bank.oversampling", self.oversampling, "at least 0")
        require(0 <= self.levels <= self.J, "bank.levels", self.levels, "from 0 to J")
        require(
            0 <= self.layers <= self.max_order,
            "bank.layers",
            self.layers,
            "from 0 to max_order",
        )
