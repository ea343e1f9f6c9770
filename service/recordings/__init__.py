"""Recordings that can be streamed as if they came from a running experiment."""

from pathlib import Path

from service.recordings.grasshopper import read_grasshopper
from service.recordings.layouts import read_file
from service.recordings.recording import (
    LateLabel,
    RecordedSample,
    RecordedSession,
    Recording,
    RecordingError,
    first_labelled,
)
from service.recordings.trace import TraceCut

__all__ = [
    "LateLabel",
    "RecordedSample",
    "RecordedSession",
    "Recording",
    "RecordingError",
    "TraceCut",
    "first_labelled",
    "load",
]


def load(path: str | Path | None = None, cut: TraceCut | None = None) -> Recording:
    """Open a recording.

    Args:
        path: An .npz file in one of the layouts of docs/recordings.md; None for the built-in
            grasshopper recording.
        cut: Window, bin and rate of a "trace"; None for its defaults. Other layouts have none.

    Raises:
        RecordingError: The file cannot be read, fits no layout, or contradicts itself.
    """
    return read_grasshopper(cut) if path is None else read_file(Path(path), cut)
