"""Layout "movie": frames shown one by one and the responses of many neurons to each."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.recordings.arrays import (
    Arrays,
    integers,
    numeric_input,
    same_length,
    session_index,
    unit_scale,
)
from service.recordings.recording import (
    ReadoutKind,
    RecordedSample,
    RecordedSession,
    Recording,
    RecordingError,
)


def read_movie(name: str, arrays: Arrays) -> Recording:
    """2-D encoding: frame to responses.

    Every session has neurons of its own: column i of two days is two neurons, so outputs are named
    "<session>/u<column>" and no readout carries over. Columns past a session's own count are
    padding and are cut; NaN inside the remaining columns is a missing target.

    Args:
        name: The recording's name.
        arrays: `frames` `(T, H, W)`, `responses` `(T, K)`, optionally `session` `(T,)`,
            `session_names` `(S,)`, `n_neurons` `(S,)`.

    Raises:
        RecordingError: The arrays contradict each other.
    """
    same_length("frames", "responses", arrays)
    frames = numeric_input("frames", arrays["frames"])
    responses = checked_responses(arrays)
    session, names = session_index(arrays, len(frames), name)
    counts = units_per_session(arrays, responses, session, names)
    present = list(dict.fromkeys(session.tolist()))

    def samples() -> Iterator[RecordedSample]:
        for number, (frame, index) in enumerate(zip(frames, session, strict=True)):
            yield RecordedSample(
                sample_id=f"{names[index]}/{number:06d}",
                session=names[index],
                input=frame[np.newaxis],
                target=responses[number, : counts[index]],
            )

    return Recording(
        name=name,
        layout="movie",
        task="encoding",
        kind=response_kind(responses),
        channels=1,
        shape=frames.shape[1:],
        sessions=tuple(
            RecordedSession(
                names[index], tuple(f"{names[index]}/u{unit:02d}" for unit in range(counts[index]))
            )
            for index in present
        ),
        input_scale=unit_scale(frames.dtype),
        n_samples=len(frames),
        rate_hz=None,
        notes=("neurons differ from session to session: every session has a readout of its own",)
        if len(present) > 1
        else (),
        stream=samples,
    )


def checked_responses(arrays: Arrays) -> NDArray[np.float32]:
    """Responses as float32, NaN where missing.

    Raises:
        RecordingError: Not numeric, or infinite.
    """
    responses = arrays["responses"]
    if responses.dtype.kind not in "iuf":
        raise RecordingError(f"`responses` has dtype {responses.dtype}; expected numbers")
    if np.isinf(responses).any():
        raise RecordingError("`responses` holds Inf; a missing response is NaN")
    return responses.astype(np.float32)


def units_per_session(
    arrays: Arrays, responses: NDArray[np.float32], session: NDArray[np.int64], names: list[str]
) -> list[int]:
    """How many leading columns of the responses belong to each session.

    Told by `n_neurons` where the file has it; otherwise columns that are NaN throughout a session
    and not followed by a recorded one are padding.

    Raises:
        RecordingError: `n_neurons` contradicts the responses, or a session has no neuron.
    """
    columns = responses.shape[1]
    recorded = np.zeros(len(names), dtype=np.int64)
    for index in np.unique(session):
        used = np.flatnonzero(~np.isnan(responses[session == index]).all(axis=0))
        if used.size == 0:
            raise RecordingError(f"session {names[index]!r} has no response that is not NaN")
        recorded[index] = used[-1] + 1
    if "n_neurons" not in arrays:
        return recorded.tolist()
    told = integers("n_neurons", arrays["n_neurons"]).ravel()
    if told.shape != (len(names),) or (told < recorded).any() or told.max() > columns:
        raise RecordingError(
            f"`n_neurons` is {told.tolist()}; expected one count for each of the {len(names)} "
            f"sessions, at least {recorded.tolist()} (columns with responses) and at most {columns}"
        )
    return told.tolist()


def response_kind(responses: NDArray[np.float32]) -> ReadoutKind:
    """Poisson for counts; Gaussian where responses are averages, rates or can be negative."""
    known = responses[~np.isnan(responses)]
    counts = bool((known >= 0).all() and (known == np.round(known)).all())
    return "poisson" if counts else "gaussian"
