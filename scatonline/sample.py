"""What goes into a model and what comes out of it, one sample at a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One thing that an experiment sends.

    Attributes:
        id: Name of the sample, unique within its session.
        session: Session (recording) it belongs to.
        input: ``(channels, *shape)``; any real dtype, the model multiplies by its input scale.
        target: ``(outputs,)`` float32: counts, values or a one-hot class. NaN marks an output that
            was not observed (not for classes). None: the label comes later.
        device_time_s: Clock of the recording device, seconds. Kept, never interpreted.
        host_time_s: Clock of the sender, seconds. Kept, never interpreted.
    """

    id: str
    session: str
    input: NDArray[np.generic]
    target: Array | None = None
    device_time_s: float | None = None
    host_time_s: float | None = None


@dataclass(frozen=True)
class Prediction:
    """What a model expects.

    Attributes:
        values: ``(outputs,)`` float32: rates (Poisson), values (Gaussian) or class probabilities.
        event: Version of the model, the number of events it had seen.
    """

    values: Array
    event: int


@dataclass(frozen=True)
class Outcome:
    """What became of one sample.

    Attributes:
        sample_id: The sample.
        prediction: Made before anything was learned from this sample.
        learned: The model has learned from it.
        pending: The sample waits for its label.
        loss: Loss of ``prediction`` per observed output (deviance, squared error or log loss), None
            without a label.
        event: Version of the model after this sample.
    """

    sample_id: str
    prediction: Prediction
    learned: bool
    pending: bool
    loss: float | None
    event: int
