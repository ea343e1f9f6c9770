"""Which layout a file has, told by the names, dtypes and dimensions of its arrays."""

import zipfile
from pathlib import Path

import numpy as np

from service.recordings.arrays import Arrays
from service.recordings.images import read_images
from service.recordings.movie import read_movie
from service.recordings.recording import Layout, Recording, RecordingError
from service.recordings.trace import TraceCut, read_trace
from service.recordings.windows import read_windows

REQUIRED: dict[Layout, dict[str, int]] = {
    "movie": {"frames": 3, "responses": 2},
    "trace": {"stim": 1, "spikes": 1},
    "windows": {"windows": 3, "labels": 1},
    "images": {"images": 3, "labels": 1},
}
EXPECTED = """\
movie:   frames [T,H,W], responses [T,K] (NaN = missing);
         optional session [T], session_names, n_neurons
trace:   stim [T], spikes [T] (counts), and dt_ms or fs
windows: windows [T,C,N], labels [T];
         optional scale [C], session [T], session_names, label_names, trial [T], fs
images:  images [T,H,W], labels [T]; optional label_names"""


def read_file(path: Path, cut: TraceCut | None) -> Recording:
    """Read an .npz file in whichever layout it fits.

    Raises:
        RecordingError: Not a readable .npz, objects inside, or arrays that fit no layout.
    """
    arrays = read_arrays(path)
    name = path.stem
    match detect_layout(arrays, path.name):
        case "movie":
            return read_movie(name, arrays)
        case "trace":
            return read_trace(name, arrays, cut)
        case "windows":
            return read_windows(name, arrays)
        case "images":
            return read_images(name, arrays)


def read_arrays(path: Path) -> Arrays:
    """All arrays of an .npz file, without unpickling anything.

    Raises:
        RecordingError: Missing, not an .npz archive, or an array of Python objects.
    """
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise RecordingError(f"{path.name} holds one bare array; expected an .npz archive")
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RecordingError(f"cannot read {path}: {error}") from error


def detect_layout(arrays: Arrays, file: str) -> Layout:
    """The one layout whose required arrays are all there with the right number of dimensions.

    Raises:
        RecordingError: None fits, or more than one does.
    """
    fitting: list[Layout] = [
        layout
        for layout, required in REQUIRED.items()
        if all(name in arrays and arrays[name].ndim == ndim for name, ndim in required.items())
        and (layout != "trace" or "dt_ms" in arrays or "fs" in arrays)
    ]
    if len(fitting) == 1:
        return fitting[0]
    found = ", ".join(f"{name} {value.dtype}{list(value.shape)}" for name, value in arrays.items())
    problem = f"fits {' and '.join(fitting)}" if fitting else "fits no layout"
    raise RecordingError(
        f"{file} {problem}. Found: {found or 'no arrays'}. Expected one of\n{EXPECTED}"
    )
