"""Layout "trace": a one-dimensional stimulus and the spikes of one neuron, step by step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.recordings.arrays import (
    Arrays,
    integers,
    numeric_input,
    recorded_rate_hz,
    same_length,
)
from service.recordings.recording import (
    RecordedSample,
    RecordedSession,
    Recording,
    RecordingError,
)

STOPBAND_DB = 60.0


@dataclass(frozen=True, slots=True)
class TraceCut:
    """How a stimulus trace is cut into samples.

    Attributes:
        rate_hz: Rate of the stimulus inside a window; a whole fraction of the recorded rate.
        window_samples: Length of a window at that rate.
        bin_s: Width of the bin of spikes that a window predicts; also the step between windows.
    """

    rate_hz: float = 5000.0
    window_samples: int = 64
    bin_s: float = 0.004

    def __post_init__(self) -> None:
        if not (self.rate_hz > 0 and self.window_samples > 0 and self.bin_s > 0):
            raise RecordingError(f"rate, window and bin must be positive; got {self}")

    @classmethod
    def for_rate(cls, rate_hz: float) -> "TraceCut":
        """Defaults for a recording: 12.8 ms windows and 4 ms bins at about 5 kHz.

        Below 2.5 kHz a recording keeps its rate and gets windows of 128 steps and bins of four.
        """
        default = cls()
        step = round(rate_hz / default.rate_hz)
        if step < 1:
            return cls(rate_hz=rate_hz, window_samples=128, bin_s=4 / rate_hz)
        bin_samples = round(default.bin_s * default.rate_hz)
        return cls(rate_hz / step, default.window_samples, bin_samples * step / rate_hz)


@dataclass(frozen=True, slots=True)
class Trace:
    """One session: stimulus and spike counts on the same clock.

    Attributes:
        session: Name of the session.
        stimulus: `(T,)` float32.
        spikes: `(T,)` spikes in each step.
        rate_hz: Steps per second.
    """

    session: str
    stimulus: NDArray[np.float32]
    spikes: NDArray[np.int64]
    rate_hz: float


def read_trace(name: str, arrays: Arrays, cut: TraceCut | None) -> Recording:
    """1-D encoding: stimulus window to spike count in the next bin.

    Args:
        name: The recording's name; its only session is called the same.
        arrays: `stim` `(T,)`, `spikes` `(T,)` counts, and `dt_ms` or `fs` (Hz).
        cut: None for the defaults at this rate.

    Raises:
        RecordingError: The arrays contradict each other, or are shorter than a window and a bin.
    """
    same_length("stim", "spikes", arrays)
    stimulus = numeric_input("stim", arrays["stim"]).astype(np.float32)
    spikes = integers("spikes", arrays["spikes"])
    if spikes.min() < 0:
        raise RecordingError(f"`spikes` holds {spikes.min()}; a spike count cannot be negative")
    rate_hz = recorded_rate_hz(arrays)
    if rate_hz is None:
        raise RecordingError("a trace needs its rate: expected `dt_ms` or `fs` (Hz)")
    deviation = float(stimulus.std(dtype=np.float64))
    if deviation == 0:
        raise RecordingError("`stim` is constant; there is nothing to encode")
    return trace_recording(
        name,
        [Trace(name, stimulus, spikes, rate_hz)],
        output="neuron",
        cut=cut or TraceCut.for_rate(rate_hz),
        input_scale=1.0 / deviation,
    )


def trace_recording(
    name: str,
    traces: Sequence[Trace],
    output: str,
    cut: TraceCut,
    input_scale: float,
    notes: tuple[str, ...] = (),
) -> Recording:
    """A recording out of one trace per session, all of the same neuron.

    A window ends where its bin starts, and the next window ends where that bin ends: when the next
    prediction is due, the last count has just become known.
    """
    lengths = {trace.session: bins_and_first(trace, cut) for trace in traces}

    def samples() -> Iterator[RecordedSample]:
        for trace in traces:
            yield from trace_samples(trace, cut)

    return Recording(
        name=name,
        layout="trace",
        task="encoding",
        kind="poisson",
        channels=1,
        shape=(cut.window_samples,),
        sessions=tuple(RecordedSession(trace.session, (output,)) for trace in traces),
        input_scale=input_scale,
        n_samples=sum(bins - first for bins, first in lengths.values()),
        rate_hz=cut.rate_hz,
        notes=notes,
        stream=samples,
    )


def trace_samples(trace: Trace, cut: TraceCut) -> Iterator[RecordedSample]:
    """Cut one trace: window `[t - window, t)` with the spikes of `[t, t + bin)`."""
    step, bin_samples = steps(trace, cut)
    bins, first = bins_and_first(trace, cut)
    stimulus = decimate_causal(trace.stimulus, step)
    counts = trace.spikes[: bins * bin_samples * step].reshape(bins, -1).sum(axis=1)
    for number in range(first, bins):
        end = number * bin_samples
        yield RecordedSample(
            sample_id=f"{trace.session}/{number:06d}",
            session=trace.session,
            input=stimulus[np.newaxis, end - cut.window_samples : end],
            target=counts[number : number + 1].astype(np.float32),
            device_time_s=end * step / trace.rate_hz,
        )


def steps(trace: Trace, cut: TraceCut) -> tuple[int, int]:
    """Recorded steps per window sample and window samples per bin.

    Raises:
        RecordingError: The rate is no whole fraction of the recorded one, or the bin is no whole
            number of window samples.
    """
    step = round(trace.rate_hz / cut.rate_hz)
    if step < 1 or abs(trace.rate_hz / cut.rate_hz - step) > 1e-6:
        raise RecordingError(
            f"window rate {cut.rate_hz:g} Hz is no whole fraction of the recorded rate "
            f"{trace.rate_hz:g} Hz"
        )
    bin_samples = round(cut.bin_s * cut.rate_hz)
    if bin_samples < 1 or abs(cut.bin_s * cut.rate_hz - bin_samples) > 1e-6:
        raise RecordingError(
            f"bin of {1e3 * cut.bin_s:g} ms is no whole number of samples at {cut.rate_hz:g} Hz"
        )
    return step, bin_samples


def bins_and_first(trace: Trace, cut: TraceCut) -> tuple[int, int]:
    """Whole bins in the trace and the first one with a full window before it.

    Raises:
        RecordingError: No bin has a full window before it.
    """
    step, bin_samples = steps(trace, cut)
    bins = len(trace.stimulus) // (step * bin_samples)
    first = -(-cut.window_samples // bin_samples)
    if first >= bins:
        raise RecordingError(
            f"{trace.session!r} lasts {len(trace.stimulus) / trace.rate_hz:g} s; expected at least "
            f"a window ({cut.window_samples / cut.rate_hz:g} s) and a bin ({cut.bin_s:g} s)"
        )
    return bins, first


def decimate_causal(stimulus: NDArray[Any], step: int) -> NDArray[np.float32]:
    """Every `step`-th value behind a causal anti-alias filter.

    Linear-phase FIR (Kaiser window), passing up to 3/4 of the new Nyquist rate and 60 dB down from
    5/4 of it. A zero-phase filter would look ahead by half its length; this one delays the
    stimulus by that half instead (1.5 ms from 20 to 5 kHz). Before its first value the stimulus
    is taken to be constant.

    Args:
        stimulus: `(T,)`.
        step: 1 keeps the full rate, unfiltered.

    Returns:
        `(T // step,)`; value i depends on `stimulus[: (i + 1) * step]` only.
    """
    if step == 1:
        return np.asarray(stimulus, dtype=np.float32)
    # Imported here: it takes half a second, and most recordings need no smaller rate.
    from scipy import signal

    taps, beta = signal.kaiserord(STOPBAND_DB, width=0.5 / step)
    fir = signal.firwin(taps | 1, cutoff=1.0 / step, window=("kaiser", beta))
    settled = signal.lfilter_zi(fir, 1.0) * float(stimulus[0])
    smooth, _ = signal.lfilter(fir, 1.0, stimulus.astype(np.float64), zi=settled)
    return np.asarray(smooth[step - 1 :: step], dtype=np.float32)
