"""What compiled loops work on: NumPy arrays that share memory with tensors, contiguous."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Complexes = NDArray[np.complexfloating[Any, Any]]
Indices = NDArray[np.int64]
