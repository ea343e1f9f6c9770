"""A prior over columns, learned from a session that has ended: how much each column is to count.

To a readout that knows nothing all standardised columns are alike. What the units of a session
answered to says more: which scales, which paths, which places. Every column has a *weight*, the
variance of its coefficient before anything is seen, over that of another. Its logarithm is a sum of
one *effect* of each kind that the column is of — scales, path, place, lag, see
:attr:`scatonline.features.Layout.kinds` — so that hundreds of numbers stand for thousands. Effects
are those under which all that was seen, of all outputs together, is most likely (type-II maximum
likelihood: MacKay 1992; Rasmussen & Williams 2006, ch. 5), with a normal prior of their own that
keeps the ones at zero about which a session says nothing.
"""

import torch
from torch import Tensor

from scatonline.readout.descend import descended
from scatonline.readout.evidence import Evidence

# Each costs products of all columns and a Cholesky factor; later ones add little, and nothing to
# new units.
_EVALUATIONS = 13


def learned(evidence: Evidence, weight: Tensor, kinds: Tensor) -> Tensor:
    """Weights of columns under which what was seen is likely, near the ones it was seen with.

    Deterministic, and bounded: at most 13 times the likelihood and its gradient.

    Args:
        evidence: What was seen.
        weight: ``(width,)`` positive, of the session that saw it.
        kinds: ``(sorts, width)`` int64: of each sort of kind, the one that a column is of, from 0.

    Returns:
        ``(width,)`` positive float64.
    """
    kinds = kinds.to(weight.device)
    sizes = kinds.amax(1) + 1
    place = kinds + (sizes.cumsum(0) - sizes)[:, None]

    def weighed(effects: Tensor) -> Tensor:
        return evidence.normal(weight * effects[place].sum(0).exp())

    def unlikely(effects: Tensor) -> tuple[float, Tensor]:
        with torch.enable_grad():
            leaf = effects.detach().requires_grad_()
            current = weighed(leaf)
            value, slope = evidence.unlikely(current.detach())
            (gradient,) = torch.autograd.grad(current, leaf, slope)
        held = effects / evidence.observed
        return value + float(effects @ held) / 2, gradient + held

    return weighed(descended(unlikely, weight.new_zeros(int(sizes.sum())), _EVALUATIONS))


def between(old: Tensor, new: Tensor) -> Tensor:
    """Halfway from the weights of a session to what it taught, in logarithms.

    Its units are gone; what the next ones will answer to is partly the same.
    """
    return (old * new).sqrt()
