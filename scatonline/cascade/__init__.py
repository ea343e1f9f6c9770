"""The scattering cascade: S = ||x ∗ ψ_λ1| ∗ ψ_λ2| … ∗ φ, in one and two dimensions.

Mallat, "Group invariant scattering", CPAM 2012. All channels on one grid go through together;
sub-sampling happens in the Fourier domain, where product and aliasing are one sum, so that the
full-plane product never exists; the low-pass is applied to the real modulus.
"""

from scatonline.cascade.averages import Averages, LowPass
from scatonline.cascade.cascade import Cascade
from scatonline.cascade.filters import Filters
from scatonline.cascade.geometry import Geometry
from scatonline.cascade.paths import FilterName, Path, Use

__all__ = ["Averages", "Cascade", "FilterName", "Filters", "Geometry", "LowPass", "Path", "Use"]
