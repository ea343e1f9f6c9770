"""What a recording is to the rest of the service: sessions, shapes and a stream of samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import ServiceError

Layout = Literal["movie", "trace", "windows", "images"]
Task = Literal["encoding", "decoding"]
ReadoutKind = Literal["poisson", "gaussian", "softmax"]
Target = NDArray[np.float32]


class RecordingError(ServiceError):
    """A recording cannot be streamed: missing, of no known layout, or contradicting itself."""


class RecordedSession(NamedTuple):
    """A stretch of the recording with one fixed list of outputs.

    Attributes:
        id: Name of the session, unique in the recording.
        outputs: Names of the outputs, in target order. Equal names in two sessions mean the same
            neuron or class, so a readout may carry over.
    """

    id: str
    outputs: tuple[str, ...]


class LateLabel(NamedTuple):
    """The target of an earlier sample of the same session, known only now."""

    sample_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class RecordedSample:
    """One sample, in the order in which the experiment produced it.

    Attributes:
        sample_id: Unique in the recording.
        session: Id of the session.
        input: `(channels, *shape)` in the recording's own dtype; multiply by the recording's
            `input_scale` for physical or unit-range values.
        target: `(n_outputs,)` float32, NaN where an output is missing, one-hot for classes.
            None when it becomes known later.
        device_time_s: Seconds on the recording's own clock, where the file tells it.
        labels: Late labels that become known just after this sample.
    """

    sample_id: str
    session: str
    input: NDArray[Any]
    target: Target | None
    device_time_s: float | None = None
    labels: tuple[LateLabel, ...] = ()


@dataclass(frozen=True)
class Recording:
    """A recording that can be streamed again and again, always in the same order.

    Attributes:
        name: The file's stem or the built-in recording's name.
        layout: Which arrangement of arrays it came in.
        task: "encoding" (stimulus to responses) or "decoding" (signal to class).
        kind: The readout that its targets call for.
        channels: Number of input channels.
        shape: Dimensions of one channel, `(N,)` or `(M, N)`.
        sessions: In order of first appearance.
        input_scale: Factor from the stored dtype to model units: one for all channels or one each.
        n_samples: Number of samples in the stream.
        rate_hz: Samples a second inside a 1-D window, where the file tells it.
        notes: What a reader of the scores should know about how the stream was made.
        stream: Starts a new pass; samples are cut and converted as they are drawn.
    """

    name: str
    layout: Layout
    task: Task
    kind: ReadoutKind
    channels: int
    shape: tuple[int, ...]
    sessions: tuple[RecordedSession, ...]
    input_scale: float | tuple[float, ...]
    n_samples: int
    rate_hz: float | None
    notes: tuple[str, ...]
    stream: Callable[[], Iterator[RecordedSample]]

    def __len__(self) -> int:
        return self.n_samples

    def __iter__(self) -> Iterator[RecordedSample]:
        return self.stream()


def first_labelled(recording: Recording, most: int) -> tuple[list[NDArray[Any]], Target]:
    """The first labelled samples of a recording's first session, in their order.

    Args:
        recording: Labels that come late are waited for.
        most: How many at the most.

    Returns:
        Their inputs, and `(samples, outputs)` targets.
    """
    first = recording.sessions[0]
    inputs: dict[str, NDArray[Any]] = {}
    targets: dict[str, Target] = {}
    for sample in recording:
        if sample.session != first.id or len(targets) >= most:
            break
        inputs[sample.sample_id] = sample.input
        if sample.target is not None:
            targets[sample.sample_id] = sample.target
        targets |= {late.sample_id: late.target for late in sample.labels}
    labelled = [name for name in inputs if name in targets][:most]
    stacked = np.array([targets[name] for name in labelled], np.float32)
    return [inputs[name] for name in labelled], stacked.reshape(len(labelled), len(first.outputs))
