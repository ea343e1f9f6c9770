"""Gestures from forearm electrodes that are taken off and put on again.

Windows come in blocks of one gesture; every window of a block is predicted before any of its labels
is known, and all of them are learned when the gesture has ended. Nobody is told where a session
begins. Baselines are shown at the best of several settings, picked on the very stream that they are
scored on; realignment runs with its defaults.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.emg_decoders import (
    FreeWeights,
    Realigned,
    River,
    Scattered,
    random_forest,
    softmax_regression,
)
from benchmarks.learning.emg_stream import Decoder, Stream, decode, judged, read
from scatonline.config import RealignmentSpec

# Session 3 begins with the electrodes put on anew.
MOVED = 3
DEFAULT = RealignmentSpec(enabled=True)
Make = Callable[[Stream], Decoder]
RIDGE = "strengths, recursive ridge, γ = 0.98"


def baselines(*, quick: bool) -> dict[str, dict[str, Make]]:
    """Decoders by name and setting."""
    forgetting = (0.98,) if quick else (0.98, 0.99, 1.0)
    found: dict[str, dict[str, Make]] = {}
    for kind, title in (("gaussian", "ridge"), ("softmax", "softmax")):
        found[f"strengths, recursive {title}"] = {
            f"λ = {ridge:g}, γ = {keep:g}": partial(
                FreeWeights, kind=kind, ridge=ridge, forgetting=keep
            )
            for keep in forgetting
            for ridge in ((1.0,) if quick else (0.1, 1.0, 10.0))
        }
        found[f"scattering, recursive {title}"] = {
            f"γ = {keep:g}": partial(Scattered, kind=kind, forgetting=keep) for keep in forgetting
        }
    rates = (0.1,) if quick else (0.01, 0.03, 0.1, 0.3, 1.0)
    found["strengths, River's softmax regression"] = {
        f"rate {rate:g}": partial(River, estimator=softmax_regression(rate)) for rate in rates
    }
    graces = (10,) if quick else (10, 50)
    found["strengths, River's adaptive random forest"] = {
        f"grace period {n}": partial(River, estimator=random_forest(n)) for n in graces
    }
    return found


def realigned() -> dict[str, Make]:
    """What each part gives."""

    def strengths_alone(spec: RealignmentSpec) -> Make:
        return lambda stream: Realigned(stream, spec)

    def blended(spec: RealignmentSpec) -> Make:
        return lambda s: Scattered(s, "softmax", 0.98, spec)

    deaf = RealignmentSpec(enabled=True, alarm=1e12, persistence=False)
    heard = RealignmentSpec(enabled=True, persistence=False)
    ring = RealignmentSpec(enabled=True, placement="ring")
    return {
        "moving classes": strengths_alone(deaf),
        "+ alarm by unlabelled windows": strengths_alone(heard),
        "+ persistence": strengths_alone(DEFAULT),
        "+ scattering readout (default)": blended(DEFAULT),
        "strengths alone, placement: ring": strengths_alone(ring),
        "with scattering readout, placement: ring": blended(ring),
    }


def planted(stream: Stream, change: str, seed: int) -> tuple[Stream, int]:
    """The sessions before the move, with a change planted half-way; and where it is."""
    draw = np.random.default_rng(seed)
    still = stream.part(np.flatnonzero(stream.session < MOVED))
    windows, channels = still.windows.copy(), still.windows.shape[1]
    blocks = np.flatnonzero(still.ends) + 1
    start = int(blocks[len(blocks) // 2])
    after = windows[start:]
    if change == "gains":
        after *= np.exp(draw.normal(0, 1, channels)).astype(np.float32)[:, None]
    elif change == "two silent channels":
        after[:, draw.choice(channels, 2, replace=False)] = 0
    elif change == "turned":
        windows[start:] = np.roll(after, int(draw.integers(1, channels)), axis=1)
    elif change == "permuted":
        windows[start:] = after[:, draw.permutation(channels)]
    session = (np.arange(len(still)) >= start).astype(np.int64)
    return Stream(windows, still.labels, session, still.ends, still.classes), start


CHANGES = ("none", "gains", "two silent channels", "turned", "permuted")


def run(quick: bool) -> dict[str, Any]:
    """Everything; one setting of each baseline and few repetitions if ``quick``.

    Raises:
        FileNotFoundError: the recording is not there.
    """
    folder = Path(os.environ.get("RECORDINGS", "../shared/data"))
    file = folder / "flexemg_s1.npz"
    if not file.exists():
        raise FileNotFoundError(f"no {file}: realignment is measured on the forearm recording")
    stream = read(file)
    peers = {}
    for name, settings in baselines(quick=quick).items():
        tried = {
            s: judged(decode(make(stream), stream), stream, MOVED) for s, make in settings.items()
        }
        best = max(tried, key=lambda s: tried[s]["accuracy"])
        peers[name] = {"setting": best, **tried[best], "tried": len(tried)}
    parts = {n: judged(decode(m(stream), stream), stream, MOVED) for n, m in realigned().items()}
    return {
        "windows": len(stream),
        "baselines": peers,
        "realignment": parts,
        "reordered": _reordered(stream, 1 if quick else 6),
        "planted": _planted(stream, 1 if quick else 4),
        "basic_motions": _basic_motions(folder / "ucr_basicmotions.npz", 2 if quick else 5),
    }


def _ridge(stream: Stream) -> Decoder:
    return FreeWeights(stream, "gaussian", ridge=1.0, forgetting=0.98)


def _reordered(stream: Stream, seeds: int) -> dict[str, Any]:
    makes = {RIDGE: _ridge, **realigned()}
    out = {}
    for name, make in makes.items():
        found = []
        for seed in range(seeds):
            other = stream.reordered(seed)
            found.append(judged(decode(make(other), other), other, MOVED))
        out[name] = {
            "accuracy": [f["accuracy"] for f in found],
            "back": [f["back"] for f in found],
        }
    return out


def _planted(stream: Stream, seeds: int) -> dict[str, Any]:
    ring = RealignmentSpec(enabled=True, placement="ring")
    makes: dict[str, Make] = {
        RIDGE: _ridge,
        "realignment": lambda s: Realigned(s, DEFAULT),
        "realignment, placement: ring": lambda s: Realigned(s, ring),
    }
    out: dict[str, Any] = {}
    for change in CHANGES:
        out[change] = {name: [] for name in makes}
        for seed in range(1 if change == "none" else seeds):
            other, start = planted(stream, change, seed)
            for name, make in makes.items():
                right = decode(make(other), other)
                found = judged(right, other, 1)
                out[change][name].append({**found, "accuracy_after": float(right[start:].mean())})
    return out


def _basic_motions(file: Path, seeds: int) -> dict[str, Any]:
    """Another recording: six channels, labels at once, classes in random order."""
    if not file.exists():
        return {}
    stream = read(file)
    out: dict[str, list[float]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(stream))
        other = stream.part(order)
        makes: dict[str, Make] = {
            "scattering, recursive softmax": lambda s: Scattered(s, "softmax", 1.0),
            "realignment, strengths alone": lambda s: Realigned(s, DEFAULT),
            "both (default)": lambda s: Scattered(s, "softmax", 1.0, DEFAULT),
        }
        for name, make in makes.items():
            out.setdefault(name, []).append(float(decode(make(other), other).mean()))
    return out


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| decoder | accuracy | windows to 90 % | errors by session |",
        "| --- | --- | --- | --- |",
    ]
    for name, found in result["baselines"].items():
        lines.append(_row(f"{name} ({found['setting']}, best of {found['tried']})", found))
    lines += [_row(name, found) for name, found in result["realignment"].items()]
    lines += [
        "",
        "| rounds and gestures in other orders | accuracy | windows to 90 % |",
        "| --- | --- | --- |",
    ]
    for name, found in result["reordered"].items():
        accuracy, windows = found["accuracy"], [b for b in found["back"] if b is not None]
        lines.append(
            f"| {name} | {np.mean(accuracy):.3f} ± {np.std(accuracy):.3f} | "
            f"median {np.median(windows):.0f}, worst {max(windows)} |"
        )
    lines += [
        "",
        "| planted half-way | decoder | accuracy after | windows to 90 %, mean |",
        "| --- | --- | --- | --- |",
    ]
    for change, decoders in result["planted"].items():
        for name, found in decoders.items():
            accuracy = np.mean([f["accuracy_after"] for f in found])
            windows = np.mean([f["back"] for f in found])
            lines.append(f"| {change} | {name} | {accuracy:.3f} | {windows:.0f} |")
    if result["basic_motions"]:
        lines += ["", "| BasicMotions, random orders | accuracy |", "| --- | --- |"]
        lines += [
            f"| {name} | {np.mean(found):.3f} ± {np.std(found):.3f} |"
            for name, found in result["basic_motions"].items()
        ]
    return "\n".join(lines)


def _row(name: str, found: dict[str, Any]) -> str:
    errors = " ".join(map(str, found["errors"]))
    return f"| {name} | {found['accuracy']:.4f} | {found['back']} | {errors} |"
