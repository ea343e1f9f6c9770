"""What models have learned: predictions of inputs that they never saw, and all that they know."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scatonline.config import LearningSpec, ModelSpec
from scatonline.model import Model
from scatonline.sample import Sample
from tests.scatonline.models import OUTPUTS, stream, unlabelled

STILL = LearningSpec(enabled=False)
MOVING = LearningSpec(warmup=4, every=3, rate=0.03)


def target_of(sample: Sample) -> NDArray[np.float32]:
    assert sample.target is not None
    return sample.target


def predictions(model: Model, session: str = "a", count: int = 6) -> NDArray[np.float32]:
    """For inputs that no model has seen."""
    reader = model.reader()
    probes = stream(model.spec, count, seed=77)
    return np.stack([reader.predict(session, probe.input).values for probe in probes])


def require_same_knowledge(one: Model, other: Model, session: str = "a") -> None:
    """To the bit: predictions, filters, and what the readout knows of its columns."""
    np.testing.assert_array_equal(predictions(one, session), predictions(other, session))
    assert [f.parameters for f in one.filters()] == [f.parameters for f in other.filters()]
    mine, theirs = one.state()[0], other.state()[0]
    for name in mine:
        if not name.startswith("pending") and ".score." not in name:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


def opened(spec: ModelSpec, session: str = "a", outputs: Sequence[str] = OUTPUTS) -> Model:
    model = Model(spec)
    model.open_session(session, outputs)
    return model


def loose(model: Model, session: str, count: int, seed: int) -> list[Sample]:
    """Sends samples without labels, and returns them."""
    outputs = len(model.sessions[session])
    samples = stream(model.spec, count, seed, session, outputs)
    for sample in samples:
        model.step(unlabelled(sample))
    return samples
