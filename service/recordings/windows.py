"""Layout "windows": multichannel windows and the class of each."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.recordings.arrays import (
    Arrays,
    class_labels,
    integers,
    numeric_input,
    one_hot,
    recorded_rate_hz,
    same_length,
    session_index,
    unit_scale,
)
from service.recordings.presentation import presentation_order
from service.recordings.recording import (
    LateLabel,
    RecordedSample,
    RecordedSession,
    Recording,
    RecordingError,
)

LATE = (
    "labels arrive late: a block's labels (a run of one class in one trial) become known after its "
    "last window, so repeating the last known label does not score"
)


def read_windows(name: str, arrays: Arrays) -> Recording:
    """1-D multichannel decoding: window to class.

    With a `trial` array the class is that of an action which lasts several windows and is known
    only when it has ended: every sample comes without target, and the last of its block carries
    the labels of the whole block. Without it each label is known at once.

    Args:
        name: The recording's name.
        arrays: `windows` `(T, C, N)`, `labels` `(T,)`, optionally `scale` `(C,)`, `(C, 1)` or
            scalar, `session` `(T,)`, `session_names`, `label_names`, `trial` `(T,)`,
            `fs` (Hz) or `dt_ms`.

    Raises:
        RecordingError: The arrays contradict each other.
    """
    same_length("windows", "labels", arrays)
    windows = numeric_input("windows", arrays["windows"])
    labels, classes = class_labels(arrays, len(windows))
    session, names = session_index(arrays, len(windows), name)
    notes: tuple[str, ...] = ()
    order = np.arange(len(windows))
    ends: NDArray[np.bool_] | None = None
    if "trial" in arrays:
        same_length("windows", "trial", arrays)
        ends = block_ends(session, labels, integers("trial", arrays["trial"]))
        notes = (LATE,)
    elif len(np.unique(session)) == 1:
        order, note = presentation_order(labels)
        notes = () if note is None else (note,)
    ids = [f"{names[index]}/{number:06d}" for number, index in enumerate(session)]

    def samples() -> Iterator[RecordedSample]:
        waiting: list[LateLabel] = []
        for number in order:
            target = one_hot(int(labels[number]), len(classes))
            late: tuple[LateLabel, ...] = ()
            if ends is not None:
                waiting.append(LateLabel(ids[number], target))
                if ends[number]:
                    late, waiting = tuple(waiting), []
            yield RecordedSample(
                sample_id=ids[number],
                session=names[session[number]],
                input=windows[number],
                target=target if ends is None else None,
                labels=late,
            )

    return Recording(
        name=name,
        layout="windows",
        task="decoding",
        kind="softmax",
        channels=windows.shape[1],
        shape=windows.shape[2:],
        sessions=tuple(
            RecordedSession(names[index], classes) for index in dict.fromkeys(session.tolist())
        ),
        input_scale=channel_scale(arrays, windows),
        n_samples=len(windows),
        rate_hz=recorded_rate_hz(arrays),
        notes=notes,
        stream=samples,
    )


def block_ends(*keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`(T,)`, true at the last window of every run in which all keys stay the same."""
    changes = np.any([np.diff(key) != 0 for key in keys], axis=0)
    return np.append(changes, True)


def channel_scale(arrays: Arrays, windows: NDArray[np.generic]) -> float | tuple[float, ...]:
    """The file's `scale`, one factor or one per channel; else one that suits the dtype.

    Raises:
        RecordingError: Neither one factor nor one per channel, or not finite and positive.
    """
    if "scale" not in arrays:
        return unit_scale(windows.dtype)
    scale = arrays["scale"].astype(np.float64)
    channels = windows.shape[1]
    if scale.size not in (1, channels) or not (np.isfinite(scale) & (scale > 0)).all():
        raise RecordingError(
            f"`scale` has shape {scale.shape}; expected one factor or {channels} (one per "
            "channel), all finite and positive"
        )
    factors = tuple(float(value) for value in scale.ravel())
    return factors[0] if len(factors) == 1 else factors
