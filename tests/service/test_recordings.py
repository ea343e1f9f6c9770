"""Every layout over the real files, the laws that a stream obeys, and the errors of misfits."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from service.recordings import RecordedSample, Recording, RecordingError, TraceCut, load
from service.recordings.presentation import presentation_order
from service.recordings.trace import Trace, decimate_causal, trace_samples

Find = Callable[[str], Path]

FILES = {
    "v4_we_days1to3": ("movie", "encoding", "gaussian", 1, (64, 64), 3600),
    "fly_h1": ("trace", "encoding", "poisson", 1, (128,), 149_968),
    "flexemg_s1": ("windows", "decoding", "softmax", 16, (256,), 1800),
    "ucr_basicmotions": ("windows", "decoding", "softmax", 6, (100,), 80),
    "mnist_5k": ("images", "decoding", "softmax", 1, (28, 28), 5000),
    "kth_tips_480": ("images", "decoding", "softmax", 1, (128, 128), 528),
    "nanofiber_sem": ("images", "decoding", "softmax", 1, (128, 128), 444),
}


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "recording.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module", params=[None, *FILES])
def recording(request: pytest.FixtureRequest) -> Recording:
    if request.param is None:
        return load()
    find: Find = request.getfixturevalue("shared_recording")
    return load(find(f"{request.param}.npz"))


def check_sample(recording: Recording, sample: RecordedSample) -> None:
    outputs = dict(recording.sessions)[sample.session]
    assert sample.input.shape == (recording.channels, *recording.shape)
    assert np.isfinite(sample.input).all()
    for target in (sample.target, *(label.target for label in sample.labels)):
        if target is None:
            continue
        assert target.shape == (len(outputs),)
        assert target.dtype == np.float32
        if recording.kind == "softmax":
            assert sorted(target)[-2:] == [0, 1]
            assert target.sum() == 1


def test_stream_keeps_its_promises(recording: Recording) -> None:
    """Shapes, finite input, one target per sample, ids that never repeat, sessions as announced."""
    ids: set[str] = set()
    labelled: list[str] = []
    sessions: dict[str, None] = {}
    for sample in recording:
        check_sample(recording, sample)
        assert sample.sample_id not in ids
        ids.add(sample.sample_id)
        sessions.setdefault(sample.session)
        labelled += [sample.sample_id] if sample.target is not None else []
        assert {label.sample_id for label in sample.labels} <= ids
        labelled += [label.sample_id for label in sample.labels]
    assert len(ids) == len(recording)
    assert sorted(labelled) == sorted(ids)
    assert list(sessions) == [session.id for session in recording.sessions]


def test_stream_repeats_itself(recording: Recording) -> None:
    for first, second, _ in zip(recording, recording, range(50), strict=False):
        assert first.sample_id == second.sample_id
        np.testing.assert_array_equal(first.input, second.input)


@pytest.mark.parametrize("name", FILES)
def test_layout_of_real_file(name: str, shared_recording: Find) -> None:
    layout, task, kind, channels, shape, count = FILES[name]
    found = load(shared_recording(f"{name}.npz"))
    assert (found.layout, found.task, found.kind) == (layout, task, kind)
    assert (found.channels, found.shape, len(found)) == (channels, shape, count)


class TestMovie:
    def test_v4_days_have_neurons_of_their_own(self, shared_recording: Find) -> None:
        found = load(shared_recording("v4_we_days1to3.npz"))
        assert [(s.id, len(s.outputs)) for s in found.sessions] == [
            ("190923", 33),
            ("190925", 36),
            ("190927", 31),
        ]
        names = [name for session in found.sessions for name in session.outputs]
        assert len(set(names)) == 100
        assert names[0] == "190923/u00"

    def test_v4_frames_travel_as_bytes(self, shared_recording: Find) -> None:
        path = shared_recording("v4_we_days1to3.npz")
        found = load(path)
        with np.load(path) as arrays:
            frames, responses = arrays["frames"], arrays["responses"]
        sample = list(found)[1300]
        assert sample.input.dtype == np.uint8
        assert found.input_scale == 1 / 255
        np.testing.assert_array_equal(sample.input[0], frames[1300])
        np.testing.assert_array_equal(sample.target, responses[1300, :36])

    def test_missing_responses_stay_nan_and_padding_is_cut(self, tmp_path: Path) -> None:
        responses = np.array([[1, np.nan, 2, np.nan], [np.nan, 3, 4, np.nan]])
        found = load(save(tmp_path, frames=np.zeros((2, 8, 8), np.uint8), responses=responses))
        assert found.kind == "poisson"
        targets = [sample.target for sample in found]
        np.testing.assert_array_equal(targets, responses[:, :3].astype(np.float32))

    def test_own_unit_without_any_response_counts_when_told(self, tmp_path: Path) -> None:
        responses = np.array([[0.5, np.nan, np.nan], [1.5, np.nan, np.nan]])
        path = save(tmp_path, frames=np.ones((2, 8, 8)), responses=responses, n_neurons=[2])
        assert [len(session.outputs) for session in load(path).sessions] == [2]


# Samples of the default cut's stimulus in one bin: windows' ends of this length follow each other.
BIN = round(TraceCut().rate_hz * TraceCut().bin_s)


class TestTrace:
    CUT = TraceCut(rate_hz=1000.0, window_samples=16, bin_s=0.004)

    def trace(self, stimulus: NDArray[np.float32]) -> Trace:
        spikes = np.zeros(len(stimulus), dtype=np.int64)
        spikes[::7] = 1
        return Trace("s", stimulus, spikes, rate_hz=4000.0)

    def test_no_look_ahead(self) -> None:
        """A sample does not change when the stimulus from its window's end on does."""
        stimulus = np.random.default_rng(1).normal(size=800).astype(np.float32)
        original = list(trace_samples(self.trace(stimulus), self.CUT))
        for number, sample in enumerate(original):
            assert sample.device_time_s is not None
            end = round(sample.device_time_s * 4000)
            changed = stimulus.copy()
            changed[end:] += 100.0
            again = list(trace_samples(self.trace(changed), self.CUT))[number]
            np.testing.assert_array_equal(again.input, sample.input)

    def test_window_reaches_up_to_its_end(self) -> None:
        """At full rate the window is the stimulus just before the bin, last value included."""
        stimulus = np.arange(400, dtype=np.float32)
        cut = TraceCut(rate_hz=4000.0, window_samples=32, bin_s=0.004)
        for sample in trace_samples(self.trace(stimulus), cut):
            assert sample.device_time_s is not None
            end = round(sample.device_time_s * 4000)
            np.testing.assert_array_equal(sample.input[0], np.arange(end - 32, end))

    def test_bins_share_out_all_spikes_after_the_first_window(self) -> None:
        trace = self.trace(np.random.default_rng(2).normal(size=800).astype(np.float32))
        samples = list(trace_samples(trace, self.CUT))
        counts = sum(float(sample.target[0]) for sample in samples if sample.target is not None)
        assert samples[0].device_time_s == 0.016
        assert counts == trace.spikes[64:].sum()
        times = [sample.device_time_s for sample in samples]
        assert all(b - a == pytest.approx(0.004) for a, b in pairwise(times) if a and b)

    def test_tone_above_the_new_nyquist_dies_and_one_below_stays(self) -> None:
        t = np.arange(20_000) / 20_000
        for frequency_hz, amplitude, tolerance in ((1000, 1.0, 0.01), (3600, 0.0, 2e-3)):
            tone = np.sin(2 * np.pi * frequency_hz * t)
            out = decimate_causal(tone, 4)[500:]
            assert np.sqrt(2) * out.std() == pytest.approx(amplitude, abs=tolerance)

    def test_decimation_delays_by_half_its_filter(self) -> None:
        """2.95 ms from 20 to 2.5 kHz, as the documentation says."""
        pulse = np.exp(-0.5 * ((np.arange(4000) - 2003) / 40) ** 2)
        out = decimate_causal(pulse, 8)
        peak = 8 * float(np.average(np.arange(500), weights=out)) + 7
        assert (peak - 2003) / 20 == pytest.approx(2.95, abs=0.01)

    def test_constant_stimulus_has_no_onset(self) -> None:
        np.testing.assert_allclose(decimate_causal(np.full(400, 3.0), 4), 3.0, rtol=1e-6)

    def test_grasshopper_is_one_neuron_under_two_stimuli(self) -> None:
        found = load()
        assert found.shape == (64,)
        assert len(found) == 2 * (2500 - 4)
        assert [session.outputs for session in found.sessions] == [("receptor",)] * 2
        spikes = {session.id: 0.0 for session in found.sessions}
        inputs = []
        for sample in found:
            assert sample.target is not None
            spikes[sample.session] += float(sample.target[0])
            inputs.append(sample.input[0, -BIN:])
        # 929 and 868 spikes in the files, 3 and 2 of them before the first bin at 16 ms.
        assert list(spikes.values()) == [926, 866]
        scaled = np.concatenate(inputs) * found.input_scale
        assert scaled.mean() == pytest.approx(0, abs=0.05)
        assert scaled.std() == pytest.approx(1, abs=0.05)

    def test_grasshopper_modulation_ends_at_its_cut_off(self) -> None:
        for session, cutoff_hz in zip(load().sessions, (200, 800), strict=True):
            last = [s.input[0, -BIN:] for s in load() if s.session == session.id]
            frequency, power = signal.welch(np.concatenate(last), 5000, nperseg=1024)
            below = power[frequency <= 1.1 * cutoff_hz].sum() / power.sum()
            beside = power[frequency <= 0.8 * cutoff_hz].sum() / power.sum()
            assert below > 0.999 > beside

    @pytest.mark.parametrize(
        "rate_hz", [500.0, 1000.0, 2000.0, 5000.0, 24_414.0625, 30_000.0, 44_100.0]
    )
    def test_default_cut_fits_every_rate(self, rate_hz: float) -> None:
        stimulus = np.random.default_rng(3).normal(size=int(2 * rate_hz)).astype(np.float32)
        trace = Trace("s", stimulus, np.ones(len(stimulus), np.int64), rate_hz)
        samples = list(trace_samples(trace, TraceCut.for_rate(rate_hz)))
        first = samples[0]
        assert first.device_time_s is not None
        assert first.target is not None
        assert 0.0015 < first.target[0] / rate_hz < 0.0085
        assert first.input.shape == (1, TraceCut.for_rate(rate_hz).window_samples)

    @pytest.mark.parametrize(
        "cut",
        [
            TraceCut(rate_hz=3000.0),
            TraceCut(rate_hz=40_000.0),
            TraceCut(bin_s=0.0041),
            TraceCut(window_samples=10**6),
        ],
    )
    def test_cut_that_does_not_fit_is_refused(self, cut: TraceCut) -> None:
        with pytest.raises(RecordingError, match=r"Hz|bin|lasts"):
            list(load(None, cut))


class TestWindows:
    def blocks(self, arrays: dict[str, NDArray[Any]]) -> list[int]:
        keys = [arrays[name] for name in ("session", "trial", "labels")]
        same = [bool(np.all([key[t] == key[t + 1] for key in keys])) for t in range(1799)]
        numbers = [0]
        for equal in same:
            numbers.append(numbers[-1] + (not equal))
        return numbers

    def test_labels_wait_for_the_end_of_their_block(self, shared_recording: Find) -> None:
        """Every label arrives exactly once, with the last window of its block, not before."""
        path = shared_recording("flexemg_s1.npz")
        found = load(path)
        with np.load(path) as arrays:
            stored = {name: arrays[name] for name in ("session", "trial", "labels")}
        blocks = self.blocks(stored)
        last = {block: t for t, block in enumerate(blocks)}
        position = {sample.sample_id: t for t, sample in enumerate(found)}
        arrived: dict[str, int] = {}
        for t, sample in enumerate(found):
            assert sample.target is None
            for label in sample.labels:
                assert label.sample_id not in arrived
                arrived[label.sample_id] = t
                index = position[label.sample_id]
                assert last[blocks[index]] == t
                assert int(label.target.argmax()) == stored["labels"][index] - 1
        assert len(arrived) == 1800
        assert len(last) == 200

    def test_emg_has_a_scale_for_each_channel(self, shared_recording: Find) -> None:
        path = shared_recording("flexemg_s1.npz")
        found = load(path)
        with np.load(path) as arrays:
            np.testing.assert_allclose(found.input_scale, arrays["scale"][:, 0])
        sample = next(iter(found))
        assert sample.input.dtype == np.int8
        assert found.sessions[0].outputs == ("class 1", "class 2", "class 3", "class 4")
        assert len({session.outputs for session in found.sessions}) == 1

    def test_labels_without_trials_are_immediate_and_shuffled_if_sorted(
        self, shared_recording: Find
    ) -> None:
        found = load(shared_recording("ucr_basicmotions.npz"))
        assert all(sample.target is not None and not sample.labels for sample in found)
        assert any("random order, seed 0" in note for note in found.notes)


class TestImages:
    def test_mnist_keeps_its_order(self, shared_recording: Find) -> None:
        path = shared_recording("mnist_5k.npz")
        found = load(path)
        with np.load(path) as arrays:
            labels = arrays["labels"]
        targets = [int(s.target.argmax()) for s in found if s.target is not None]
        np.testing.assert_array_equal(targets, labels)
        assert found.notes == ()

    def test_sorted_classes_are_shuffled_and_it_is_said(self, shared_recording: Find) -> None:
        found = load(shared_recording("kth_tips_480.npz"))
        assert "sorted by class" in found.notes[0]
        targets = [int(s.target.argmax()) for s in found if s.target is not None]
        assert np.count_nonzero(np.diff(targets)) > 450
        assert found.sessions[0].outputs[3] == "cork"

    def test_order_is_kept_in_a_random_file_and_permuted_in_a_sorted_one(self) -> None:
        labels = np.random.default_rng(0).integers(0, 5, 400)
        order, note = presentation_order(labels)
        np.testing.assert_array_equal(order, np.arange(400))
        assert note is None
        order, note = presentation_order(np.sort(labels))
        np.testing.assert_array_equal(np.sort(order), np.arange(400))
        assert note is not None


FRAMES = np.zeros((4, 8, 8), dtype=np.uint8)
WINDOWS = np.ones((4, 2, 16), dtype=np.float32)
LABELS = np.array([0, 1, 0, 1])

MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing known": ({"a": np.zeros(3)}, r"fits no layout.*a float64\[3\].*movie:.*images:"),
    "colour images": (
        {"images": np.zeros((4, 8, 8, 3)), "labels": LABELS},
        r"images float64\[4, 8, 8, 3\].*images \[T,H,W\]",
    ),
    "two layouts": (
        {"images": FRAMES, "windows": WINDOWS, "labels": LABELS},
        "fits windows and images",
    ),
    "trace without rate": ({"stim": np.zeros(9), "spikes": np.zeros(9, int)}, "dt_ms or fs"),
    "lengths": ({"images": FRAMES, "labels": LABELS[:3]}, "4 samples but `labels` has 3"),
    "no sample": ({"images": FRAMES[:0], "labels": LABELS[:0]}, "`images` is empty"),
    "NaN input": ({"windows": WINDOWS * np.nan, "labels": LABELS}, "must be finite"),
    "text input": ({"images": np.full((4, 8, 8), "x"), "labels": LABELS}, "dtype <U1"),
    "fractional label": ({"images": FRAMES, "labels": LABELS + 0.5}, "whole numbers"),
    "one class": ({"images": FRAMES, "labels": LABELS * 0}, "one class only"),
    "label outside its names": (
        {"images": FRAMES, "labels": LABELS + 1, "label_names": ["a", "b"]},
        r"1 to 2; expected 0 to 1",
    ),
    "names that repeat": (
        {"images": FRAMES, "labels": LABELS, "label_names": ["a", "a"]},
        "distinct",
    ),
    "session outside its names": (
        {"windows": WINDOWS, "labels": LABELS, "session": [0, 0, 0, 2], "session_names": ["a"]},
        "`session` holds 0 to 2",
    ),
    "session length": (
        {"windows": WINDOWS, "labels": LABELS, "session": [0, 1]},
        r"`session` has shape \(2,\)",
    ),
    "scale": (
        {"windows": WINDOWS, "labels": LABELS, "scale": np.ones(3)},
        "one factor or 2",
    ),
    "negative scale": ({"windows": WINDOWS, "labels": LABELS, "scale": -1.0}, "positive"),
    "infinite response": (
        {"frames": FRAMES, "responses": np.full((4, 2), np.inf)},
        "missing response is NaN",
    ),
    "session without response": (
        {"frames": FRAMES, "responses": np.full((4, 2), np.nan)},
        "no response",
    ),
    "too few neurons told": (
        {"frames": FRAMES, "responses": np.ones((4, 2)), "n_neurons": [1]},
        r"at least \[2\]",
    ),
    "negative spikes": (
        {"stim": np.arange(9.0), "spikes": np.full(9, -1), "fs": 100.0},
        "cannot be negative",
    ),
    "constant stimulus": ({"stim": np.ones(9), "spikes": np.ones(9, int), "fs": 100}, "constant"),
    "no rate": ({"stim": np.arange(9.0), "spikes": np.ones(9, int), "dt_ms": 0.0}, "positive"),
    "too short": ({"stim": np.arange(99.0), "spikes": np.ones(99, int), "fs": 100}, "lasts 0.99 s"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_misfit_is_named(case: str, tmp_path: Path) -> None:
    arrays, message = MISFITS[case]
    with pytest.raises(RecordingError, match=f"(?s){message}"):
        load(save(tmp_path, **arrays))


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = save(tmp_path, images=np.array([{}, {}], dtype=object), labels=LABELS)
    with pytest.raises(RecordingError, match="cannot read"):
        load(path)


@pytest.mark.parametrize("content", [None, b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_unreadable_file(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "recording.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"recording\.npz"):
        load(path)


def test_bare_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frames.npy"
    np.save(path, FRAMES)
    with pytest.raises(RecordingError, match="bare array"):
        load(path)
