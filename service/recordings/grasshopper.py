"""The built-in recording: a grasshopper's auditory receptor, from the `nitime` package."""

import importlib.util
from pathlib import Path

import numpy as np

from service.recordings.recording import Recording, RecordingError
from service.recordings.trace import Trace, TraceCut, trace_recording

NAME = "grasshopper"
SESSIONS = ("cut-off 200 Hz", "cut-off 800 Hz")
STEP_US = 50
MEAN_DB = -18.0
SD_DB = 6.0
NOTES = (
    "one neuron under two stimuli: the second session's amplitude modulation is four times faster",
)


def read_grasshopper(cut: TraceCut | None = None) -> Recording:
    """Both recordings as two sessions of the same neuron.

    The stimulus is the amplitude modulation in dB about its mean, Gaussian with 6 dB standard
    deviation by the experiment's design; `input_scale` makes that 1.

    Raises:
        RecordingError: `nitime` is not installed, or its files are not those described in
            docs/recordings.md.
    """
    folder = data_folder()
    return trace_recording(
        NAME,
        [read_session(folder, number, session) for number, session in enumerate(SESSIONS, 1)],
        output="receptor",
        cut=cut or TraceCut(),
        input_scale=1.0 / SD_DB,
        notes=NOTES,
    )


def data_folder() -> Path:
    """Where the installed `nitime` keeps its data; found without importing the package.

    Raises:
        RecordingError: It is not installed.
    """
    spec = importlib.util.find_spec("nitime")
    if spec is None or not spec.submodule_search_locations:
        raise RecordingError(
            "the built-in recording comes with the package `nitime`, which is not installed: "
            "pip install 'scatonline[demo]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def read_session(folder: Path, number: int, session: str) -> Trace:
    """One stimulus file and its spike times on the stimulus's clock.

    Raises:
        RecordingError: A file is missing or does not hold what is expected.
    """
    stimulus_file = folder / f"grasshopper_stimulus{number}.txt"
    spikes_file = folder / f"grasshopper_spike_times{number}.txt"
    try:
        time_us, amplitude = np.loadtxt(stimulus_file, unpack=True)
        spikes_us = np.loadtxt(spikes_file, comments="#")
    except (OSError, ValueError) as error:
        raise RecordingError(f"cannot read the built-in recording: {error}") from error
    if not np.array_equal(time_us, STEP_US * np.arange(len(time_us))) or (amplitude <= 0).any():
        raise RecordingError(
            f"{stimulus_file.name}: expected times in steps of {STEP_US} µs from 0 and positive "
            "amplitudes"
        )
    step_of_spike = (spikes_us // STEP_US).astype(np.int64)
    if step_of_spike.min() < 0 or step_of_spike.max() >= len(time_us):
        raise RecordingError(
            f"{spikes_file.name}: spikes outside the {time_us[-1]:.0f} µs stimulus"
        )
    return Trace(
        session=session,
        stimulus=(20.0 * np.log10(amplitude) - MEAN_DB).astype(np.float32),
        spikes=np.bincount(step_of_spike, minlength=len(time_us)),
        rate_hz=1e6 / STEP_US,
    )
