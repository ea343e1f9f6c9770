"""In which order samples with immediate labels are presented."""

import numpy as np
from numpy.typing import NDArray

SEED = 0
SORTED_BELOW = 0.5


def presentation_order(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], str | None]:
    """Stored order, or a seeded shuffle where the file is sorted by class.

    In a file sorted by class, repeating the last label scores nearly 1 and a running score says
    nothing about the input. A file counts as sorted when its label changes less than half as often
    as it would in random order, `(T - 1) (1 - sum_c p_c^2)`.

    Args:
        labels: `(T,)` class numbers in stored order.

    Returns:
        Sample numbers in order of presentation and, when shuffled, a note that says so.
    """
    share = np.bincount(labels) / len(labels)
    expected = (len(labels) - 1) * (1.0 - float(np.square(share).sum()))
    changes = int(np.count_nonzero(np.diff(labels)))
    if changes >= SORTED_BELOW * expected:
        return np.arange(len(labels)), None
    note = (
        f"stored sorted by class ({changes} label changes, {expected:.0f} expected in random "
        f"order): presented in random order, seed {SEED}"
    )
    return np.random.default_rng(SEED).permutation(len(labels)), note
