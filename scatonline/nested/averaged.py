"""A prediction that has looked at an input from several distances."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from scatonline.nested.calibration import dilated
from scatonline.reader import Reader
from scatonline.sample import Array, check_input


def predict_averaged(
    reader: Reader, session: str, x: NDArray[np.generic], dilations: Sequence[float]
) -> Array:
    """Predicts an input and dilated copies of it, all of its own size, and averages.

    Class probabilities are averaged as logarithms, which a linear readout would give for the mean
    of the copies' columns; values and counts as they are.

    Args:
        reader: A model's reader.
        session: An open session.
        x: ``(channels, *shape)``, any real dtype.
        dilations: Such as the model was fitted with (:class:`NestedSpec`).

    Returns:
        ``(outputs,)`` float32.

    Raises:
        As :meth:`Reader.predict`.
    """
    check_input(reader.spec, x)
    raw = torch.from_numpy(x.astype(np.float32))[None]
    copies = [dilated(raw, factor)[0].numpy() for factor in dilations]
    values = np.stack([reader.predict(session, copy).values for copy in copies])
    if reader.spec.readout.kind != "softmax":
        return np.asarray(values.mean(0))
    logs = np.log(np.maximum(values.astype(np.float64), 1e-300)).mean(0)
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum(), np.float32)
