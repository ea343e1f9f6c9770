"""The demo: what it counts, how it compares, and how it ends."""

import argparse
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from scipy import stats

from scatonline.config import ModelSpec
from service import demo
from service.client import Move, Outcome, Prediction
from service.demo.display import Display, move_text
from service.demo.errors import DemoError
from service.demo.excerpt import excerpt
from service.demo.ledger import Ledger
from service.demo.metrics import check_metrics
from service.demo.presets import preset
from service.demo.process import ServiceProcess
from service.demo.scores import BLOCK, SPAN, compare, curves, span_scores, stream_scores
from service.recordings import LateLabel, RecordedSample, Recording, load
from service.recordings.recording import ReadoutKind

START_S = 120.0


def sample(number: int, session: str, target: NDArray[np.float32] | None) -> RecordedSample:
    return RecordedSample(f"{session}/{number}", session, np.zeros((1, 4), np.float32), target)


def outcome(number: int, values: NDArray[np.float32], event: int = 0) -> Outcome:
    return Outcome(str(number), Prediction(values, event), True, False, None, event or number + 1)


def ledger_of(
    predictions: NDArray[np.float32], targets: NDArray[np.float32], sessions: Sequence[str]
) -> Ledger:
    ledger = Ledger()
    for number, (p, y, session) in enumerate(zip(predictions, targets, sessions, strict=True)):
        ledger.predicted(ledger.sent(sample(number, session, y)), outcome(number, p))
    return ledger


def counts(seed: int, samples: int, outputs: int) -> tuple[NDArray[np.float32], ...]:
    """Rates, and Poisson counts of them with a tenth missing."""
    rng = np.random.default_rng(seed)
    rates = np.exp(rng.normal(size=(samples, outputs))).astype(np.float32)
    observed = rng.poisson(rates).astype(np.float32)
    observed[rng.random(observed.shape) < 0.1] = np.nan
    return rates, observed


class TestLedger:
    def test_a_sample_counts_once_both_sides_are_known_and_in_order(self) -> None:
        ledger = Ledger()
        values = np.eye(3, dtype=np.float32)
        for number in range(3):
            ledger.sent(sample(number, "s", None))
        ledger.predicted(1, outcome(1, values[1]))
        ledger.labelled(LateLabel("s/0", values[0]))
        ledger.labelled(LateLabel("s/1", values[1]))
        assert (ledger.answered, ledger.scored) == (1, 0)
        ledger.predicted(0, outcome(0, values[0]))
        assert (ledger.answered, ledger.scored) == (2, 2)
        (stretch,) = ledger.stretches(0, 3)
        np.testing.assert_array_equal(stretch.predictions, values[:2])
        np.testing.assert_array_equal(stretch.targets, values[:2])

    def test_stretches_are_cut_at_sessions(self) -> None:
        rates, observed = counts(0, 10, 2)
        ledger = ledger_of(rates, observed, ["a"] * 4 + ["b"] * 6)
        assert ledger.sessions() == [(0, "a"), (4, "b")]
        parts = ledger.stretches(2, 9)
        assert [(part.session, len(part.targets)) for part in parts] == [("a", 2), ("b", 5)]
        np.testing.assert_array_equal(parts[1].targets, observed[4:9])
        assert ledger.stretches(0, 0) == []

    def test_a_move_is_placed_after_the_samples_that_came_before_it(self) -> None:
        ledger = Ledger()
        for number, event in enumerate((1, 2, 4, 5)):
            entered = ledger.sent(sample(number, "s", np.zeros(1, np.float32)))
            ledger.predicted(entered, outcome(number, np.zeros(1, np.float32), event))
        assert ledger.sample_of(event=3) == 2


class TestScores:
    def test_against_scipy_and_numpy(self) -> None:
        """Correlation and deviance of counts as independent code has them, per session."""
        rates, observed = counts(1, 400, 1)
        observed = np.nan_to_num(observed, nan=1.0)
        ledger = ledger_of(rates, observed, ["a"] * 100 + ["b"] * 300)
        found = stream_scores("poisson", ledger.stretches(0, 400))
        parts = [(rates[:100, 0], observed[:100, 0]), (rates[100:, 0], observed[100:, 0])]

        def loglik(rate: Any, y: Any) -> float:
            return float(stats.poisson.logpmf(y, rate).sum())

        r = [stats.pearsonr(p, y).statistic for p, y in parts]
        explained = [
            1 - (loglik(y, y) - loglik(p, y)) / (loglik(y, y) - loglik(y.mean(), y))
            for p, y in parts
        ]
        assert found["correlation"] == pytest.approx(0.25 * r[0] + 0.75 * r[1], abs=1e-6)
        assert found["explained_deviance"] == pytest.approx(
            0.25 * explained[0] + 0.75 * explained[1], abs=1e-6
        )

    def test_missing_targets_are_left_out(self) -> None:
        rates, observed = counts(2, 200, 3)
        ledger = ledger_of(rates, observed, ["a"] * 200)
        found = stream_scores("gaussian", ledger.stretches(0, 200))
        seen = ~np.isnan(observed)
        r = [np.corrcoef(rates[seen[:, k], k], observed[seen[:, k], k])[0, 1] for k in range(3)]
        assert found["correlation"] == pytest.approx(float(np.mean(r)), abs=1e-6)

    def test_accuracy_and_log_loss(self) -> None:
        p = np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]], np.float32)
        y = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
        found = stream_scores("softmax", ledger_of(p, y, ["a"] * 3).stretches(0, 3))
        assert found["accuracy"] == pytest.approx(1 / 3)
        assert found["log_loss"] == pytest.approx(-np.log([0.7, 0.4, 0.1]).mean(), rel=1e-6)

    def test_spans_compare_like_with_like(self) -> None:
        """Models that are ahead are scored on the samples that every model has scored."""
        rates, observed = counts(3, 700, 1)
        sessions = ["a"] * 700
        ledgers = {
            "learned": ledger_of(rates[:650], observed[:650], sessions[:650]),
            "mean": ledger_of(np.ones_like(rates), observed, sessions),
        }
        spans = span_scores("poisson", ledgers)
        assert [(span.title, span.samples) for span in spans] == [
            ("all", 650),
            (f"first {SPAN}", SPAN),
            (f"last {SPAN}", SPAN),
        ]
        last = stream_scores("poisson", ledgers["mean"].stretches(350, 650))
        assert spans[2].models["mean"] == last
        assert span_scores("poisson", {"learned": Ledger()}) == []

    def test_verdicts(self) -> None:
        """The truth beats noise, loses to nothing, and is level with itself."""
        rates, observed = counts(4, 600, 2)
        noise = np.random.default_rng(5).permutation(rates)
        sessions = ["a"] * 200 + ["b"] * 400
        ledgers = {
            "learned": ledger_of(rates, observed, sessions),
            "same": ledger_of(rates, observed, sessions),
            "noise": ledger_of(noise, observed, sessions),
        }
        verdicts = {each.baseline: each for each in compare("poisson", ledgers, "learned")}
        assert verdicts["same"].verdict == "level"
        assert verdicts["same"].difference == verdicts["same"].error == 0
        assert verdicts["noise"].verdict == "ahead"
        swapped = {"learned": ledgers["noise"], "truth": ledgers["learned"]}
        (behind,) = compare("poisson", swapped, "learned")
        assert behind.verdict == "behind"
        assert compare("poisson", {"learned": Ledger(), "mean": Ledger()}, "learned") == []

    def test_bootstrap_error_is_that_of_independent_samples(self) -> None:
        """For accuracies of independent samples the error of a difference is known."""
        rng = np.random.default_rng(6)
        truth = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 2000)]
        right = rng.random((2, 2000)) < np.array([[0.8], [0.6]])
        first, second = (np.where(r[:, None], truth, 1 - truth) for r in right)
        ledgers = {
            "learned": ledger_of(first, truth, ["a"] * 2000),
            "other": ledger_of(second, truth, ["a"] * 2000),
        }
        (found,) = compare("softmax", ledgers, "learned")
        expected = np.std(right[0].astype(float) - right[1].astype(float)) / np.sqrt(2000)
        assert found.difference == pytest.approx(right[0].mean() - right[1].mean(), abs=1e-9)
        assert found.error == pytest.approx(expected, rel=0.35)

    def test_curves_end_at_the_overall_scores(self) -> None:
        rates, observed = counts(7, 640, 1)
        ledgers = {"learned": ledger_of(rates, observed, ["a"] * 640)}
        at, found = curves("poisson", ledgers)
        running, recent = found["learned"]
        spans = span_scores("poisson", ledgers)
        assert (at[0], at[-1]) == (BLOCK, 640)
        assert running[-1] == spans[0].models["learned"]["explained_deviance"]
        assert recent[-1] == spans[2].models["learned"]["explained_deviance"]


class TestExcerpt:
    def test_whole_recording_if_it_is_short_enough(self) -> None:
        found = load()
        assert len(excerpt(found, len(found))) == len(found)

    def test_sessions_share_equally_and_begin_at_their_beginning(self) -> None:
        found = load()
        chosen = excerpt(found, 101)
        sessions = [each.session for each in chosen]
        assert [sessions.count(session.id) for session in found.sessions] == [51, 51]
        assert chosen[0].sample_id == next(iter(found)).sample_id

    def test_no_label_is_left_behind(self, shared_recording: Callable[[str], Path]) -> None:
        found = load(shared_recording("flexemg_s1.npz"))
        chosen = excerpt(found, 100)
        labels = [label.sample_id for each in chosen for label in each.labels]
        assert sorted(labels) == sorted(each.sample_id for each in chosen)
        assert len(chosen) == 5 * 27  # 20 a session, on to the end of a block of 9


def recordings(folder: Path) -> Iterator[Recording]:
    """One small recording of every layout."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 40)
    small: dict[str, dict[str, Any]] = {
        "movie": {
            "frames": rng.integers(0, 255, (40, 16, 16)).astype(np.uint8),
            "responses": rng.poisson(1.0, (40, 2)),
        },
        "trace": {"stim": rng.normal(size=4000), "spikes": rng.integers(0, 2, 4000), "fs": 500.0},
        "windows": {"windows": rng.normal(size=(40, 2, 64)), "labels": labels, "trial": labels},
        "images": {"images": rng.integers(0, 255, (40, 16, 16)).astype(np.uint8), "labels": labels},
    }
    yield load()
    for name, arrays in small.items():
        path = folder / f"{name}.npz"
        np.savez(path, **arrays)
        yield load(path)


def test_presets_are_one_model_and_its_three_baselines(tmp_path: Path) -> None:
    for recording in recordings(tmp_path):
        for short in (False, True):
            chosen = preset(recording, short=short)
            learned, fixed, linear, mean = chosen.models
            assert [m.name for m in chosen.models] == ["learned", "fixed", "linear", "mean"]
            assert learned.learning.enabled
            assert learned.structure.enabled
            for baseline in (fixed, linear, mean):
                assert not baseline.learning.enabled
                assert not baseline.structure.enabled
                assert baseline.readout.kind == learned.readout.kind
                assert baseline.bank == learned.bank
            assert (fixed.features, fixed.readout) == (learned.features, learned.readout)
            assert linear.features.orders == mean.features.orders == ()
            assert (linear.features.raw_grid > 0) > (mean.features.raw_grid > 0)
            assert all(ModelSpec.from_dict(m.to_dict()) == m for m in chosen.models)


MOVE = Move("drop", "1/j0/3", 1, 0, "drop 1/j0/3: harmless", {"car": 0.001}, event=7)


class TestDisplay:
    def ledgers(self, kind: ReadoutKind) -> dict[str, Ledger]:
        rates, observed = counts(8, 20, 1)
        assert kind == "poisson"
        return {"learned": ledger_of(rates, observed, ["a"] * 20), "mean": Ledger()}

    def test_a_move_is_told_with_its_reason(self) -> None:
        assert move_text(MOVE, 120) == "after 120 samples: drop 1/j0/3: harmless"

    def test_a_terminal_shows_every_model(self) -> None:
        written = io.StringIO()
        console = Console(file=written, force_terminal=True, width=100, highlight=False)
        with Display(console, "poisson", 50, self.ledgers("poisson")) as display:
            display.update()
            display.moved([(MOVE, 120)])
        text = written.getvalue()
        assert "learned" in text
        assert "20" in text
        assert "after 120 samples: drop" in text

    def test_a_log_gets_a_line_now_and_then(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("service.demo.display.PLAIN_EVERY_S", 0.0)
        written = io.StringIO()
        console = Console(file=written, width=100)
        with Display(console, "poisson", 50, self.ledgers("poisson")) as display:
            display.update()
        assert re.search(r"learned 20/50 -?\d\.\d{3}, mean 0/50 –", written.getvalue())


def test_metrics_page_that_does_not_answer_is_said() -> None:
    found = check_metrics("http://127.0.0.1:9/metrics", "learned")
    assert not found.answered
    assert "did not answer" in str(found)


def test_options_are_checked() -> None:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    assert parser.parse_args(["--samples", "5"]).samples == 5
    for wrong in (
        ["--samples", "0"],
        ["--samples", "x"],
        ["--seconds", "-1"],
        ["--seconds", "nan"],
    ):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)


def test_service_that_cannot_start_is_quoted(tmp_path: Path) -> None:
    settings = {"server": {"host": "127.0.0.1"}, "models": []}
    with ServiceProcess(settings, tmp_path, tmp_path) as process:
        with pytest.raises(DemoError, match=r"(?s)did not start.*status 1.*models"):
            process.wait_until_ready()
        assert not process.alive


def small_recording(folder: Path, samples: int = 60) -> Path:
    """Windows whose class is their frequency, in two sessions with late labels."""
    rng = np.random.default_rng(0)
    trial = np.arange(samples) // 4
    labels = trial % 3
    t = np.arange(64) / 64
    waves = np.sin(2 * np.pi * (4 + 6 * labels[:, None, None]) * t)
    windows = waves + 0.3 * rng.normal(size=(samples, 2, 64))
    path = folder / "tones.npz"
    np.savez(
        path,
        windows=windows.astype(np.float32),
        labels=labels,
        trial=trial,
        session=np.arange(samples) // (samples // 2),
        fs=64.0,
    )
    return path


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-u", "-m", "service", "demo", "--out", str(folder / "out")]
    # Tests that run in the background ignore Ctrl-C, and what they start would, too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "SCATONLINE_SERVER__PORT": "1", "COLUMNS": "100"},
        )
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for_service(process: "subprocess.Popen[str]") -> int:
    """Reads the demo's output up to the line that names the service; its process id."""
    assert process.stdout is not None
    for line in process.stdout:
        found = re.match(r"service (\d+) at", line)
        if found:
            return int(found[1])
    pytest.fail(f"the demo ended early: {cast('Any', process.stderr).read()}")


def gone(pid: int) -> bool:
    """True once no process has this id any more."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_demo_from_start_to_end(tmp_path: Path) -> None:
    """All samples are streamed and scored, the files are there, and client and service agree."""
    process = start(tmp_path, "--data", str(small_recording(tmp_path)))
    told, problems = process.communicate(timeout=START_S)
    assert process.returncode == 0, problems
    out = tmp_path / "out"
    result = json.loads((out / "summary.json").read_text())
    assert result["ending"] == "whole"
    assert result["samples"] == {"wanted": 60, "streamed": 60}
    assert result["scores"][0]["samples"] == 60
    own = result["scores"][0]["models"]["learned"]
    theirs = result["service_scores"]
    assert theirs["samples"] == 60
    for name in ("accuracy", "balanced_accuracy", "log_loss"):
        assert own[name] == pytest.approx(theirs[name], abs=1e-6)
    assert [each["baseline"] for each in result["learned_against"]] == ["fixed", "linear", "mean"]
    assert result["metrics"]["answered"]
    assert result["metrics"]["samples"] == 60
    assert result["latency"]["learned"]["predict"]["count"] == 6
    for name in ("filters.png", "score.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert all(Path(file).is_file() for file in result["files"])
    for part in ("Streamed 60 of 60", "Accuracy", "Latency", "Metrics page", "summary.json"):
        assert part in told


@pytest.mark.slow
def test_stopped_by_hand_it_tells_what_it_has(tmp_path: Path) -> None:
    process = start(tmp_path, "--samples", "4000")
    service = wait_for_service(process)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    told, problems = process.communicate(timeout=START_S)
    assert process.returncode == 130, problems
    assert "stopped by hand" in told
    assert "Metrics page" in told
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["ending"] == "interrupted"
    assert gone(service)
    assert "Traceback" not in problems


@pytest.mark.slow
def test_terminated_at_the_very_start_it_leaves_no_service(tmp_path: Path) -> None:
    process = start(tmp_path, "--samples", "4000")
    service = wait_for_service(process)
    process.terminate()
    _, problems = process.communicate(timeout=START_S)
    assert process.returncode == 130, problems
    assert gone(service)
    assert "Traceback" not in problems


@pytest.mark.slow
def test_service_that_dies_is_said(tmp_path: Path) -> None:
    process = start(tmp_path, "--samples", "4000")
    service = wait_for_service(process)
    threading.Timer(2.0, os.kill, (service, signal.SIGKILL)).start()
    _, problems = process.communicate(timeout=START_S)
    assert process.returncode == 1
    assert "the service died" in problems
    assert "status -9" in problems
    assert "serving" in problems
    assert "Traceback" not in problems


def test_recording_that_fits_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, x=np.zeros(3))
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    parsed = parser.parse_args(["--data", str(path), "--out", str(tmp_path / "out")])
    assert demo.run(parsed) == 1
    assert "fits no layout" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
