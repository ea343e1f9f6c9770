"""A change of the world planted into real V4 frames: how soon is a model back?

From some frame on all frames of a day are rotated by 30°, blurred, or halved in contrast; the
neurons' answers stay those to the frames as they were shown. The running score is Pearson r over
the last frames, mean over neurons and over days. A model is back when that has reached 95 % of what
it was before the change, and stays there for as many frames again. Frames differ in how well
anything predicts them; so each model also runs on without the change, and is back *against itself*
when it has reached 95 % of what it then scores on the same frames.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.learning.neurons import SPEC, Day, Floats, correlation, days
from scatonline.config import BankSpec, FeatureSpec, LearningSpec, ModelSpec, ReadoutSpec
from scatonline.model import Model
from scatonline.sample import Sample

# By day. The second one's last 300 frames are its first 300 again, which would reward memory.
ONSETS = (600, 450, 750)
AFTER = 450
RUNNING = 100
BACK = 0.95
FORGETTING = (1.0, 0.998, 0.995, 0.99, 0.98)
RIDGES = (100.0, 300.0)
# Fewer columns than elsewhere: a recursive readout costs their square, and there are many streams.
FEATURES = FeatureSpec(
    grid=(4, 4, 1), order_weight=(1.0, 1.0, 0.55), raw_grid=8, raw_weight=1.0, contrast=0.01
)
FIXED = replace(
    SPEC, bank=BankSpec(J=4, L=4), features=FEATURES, learning=LearningSpec(enabled=False)
)


def rotated(x: torch.Tensor) -> torch.Tensor:
    """By 30° about the centre; the corners show the mirrored frame."""
    angle = torch.tensor(torch.pi / 6)
    turn = torch.stack((angle.cos(), -angle.sin(), torch.zeros(()), angle.sin(), angle.cos()))
    matrix = torch.cat((turn, torch.zeros(1))).reshape(1, 2, 3).expand(len(x), -1, -1)
    grid = torch.nn.functional.affine_grid(matrix, [len(x), 1, *x.shape[1:]], align_corners=False)
    turned = torch.nn.functional.grid_sample(
        x[:, None], grid, padding_mode="reflection", align_corners=False
    )
    found: torch.Tensor = turned[:, 0]
    return found


def blurred(x: torch.Tensor) -> torch.Tensor:
    """By a Gaussian of 1.5 pixels."""
    omega = 2 * torch.pi * torch.fft.fftfreq(x.shape[-1])
    gain = torch.exp(-0.5 * (1.5 * omega) ** 2)
    found: torch.Tensor = torch.fft.ifft2(torch.fft.fft2(x) * gain[:, None] * gain).real
    return found


def halved(x: torch.Tensor) -> torch.Tensor:
    """In contrast, about each frame's mean."""
    mean = x.mean((1, 2), keepdim=True)
    return mean + (x - mean) / 2


CHANGES: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "rotated by 30°": rotated,
    "blurred": blurred,
    "contrast halved": halved,
}
_NONE = "none"


def contenders() -> dict[str, ModelSpec]:
    """Ours and its parts, then fixed filters with ridge that forgets, at every setting."""
    learning = LearningSpec(tie="scale", every=4, rate=0.005)
    acting = replace(FIXED, adaptation=replace(FIXED.adaptation, detect=True))
    found = {
        "ours": replace(acting, learning=learning),
        "ours, filters fixed": acting,
        "ours, filters fixed, changes not acted upon": FIXED,
    }
    for ridge in RIDGES:
        for keep in FORGETTING:
            readout = ReadoutSpec(kind="gaussian", ridge=ridge, forgetting=keep)
            found[f"ridge {ridge:g}, γ {keep:g}"] = replace(FIXED, readout=readout)
    return found


def run(quick: bool) -> dict[str, Any]:
    """Curves of running scores and the samples until each contender is back, by change.

    Args:
        quick: One day and three contenders.
    """
    chosen = days()[: 1 if quick else 3]
    specs = contenders()
    if quick:
        specs = {name: specs[name] for name in ("ours, filters fixed", "ridge 300, γ 0.995")}
    changes: dict[str, dict[str, Any]] = {change: {} for change in CHANGES}
    for name, spec in specs.items():
        curves: dict[str, list[Floats]] = {change: [] for change in (*CHANGES, _NONE)}
        for day, onset in zip(chosen, ONSETS, strict=False):
            for change, curve in _curves(spec, day, onset).items():
                curves[change].append(curve)
        unchanged = np.mean(curves.pop(_NONE), 0)
        for change, several in curves.items():
            mean = np.mean(several, 0)
            changes[change][name] = {
                "curve": mean.tolist(),
                "unchanged": unchanged.tolist(),
                "before": float(mean[0]),
                "lowest": float((mean / unchanged).min()),
                "back": _back(mean[1:] / mean[0]),
                "back_to_itself": _back(mean[1:] / unchanged[1:]),
            }
    return {"changes": changes, "running": RUNNING, "days": [day.name for day in chosen]}


def _curves(spec: ModelSpec, day: Day, onset: int) -> dict[str, Floats]:
    """Running score from the onset on, its first entry that of the frame before, by change."""
    model = Model(spec)
    model.open_session(day.name, day.units)
    before = _predict(model, day, day.frames[:onset], 0)
    curves = {}
    for change, apply in {**CHANGES, _NONE: torch.Tensor.clone}.items():
        frames = torch.from_numpy(day.frames[onset : onset + AFTER].astype(np.float32))
        after = _predict(Model.restore(spec, *model.state()), day, apply(frames).numpy(), onset)
        predicted = np.concatenate((before, after))
        ends = range(onset, onset + AFTER + 1)
        curves[change] = np.asarray(
            [correlation(predicted[n - RUNNING : n], day.counts[n - RUNNING : n]) for n in ends]
        )
        # The level before is taken from more frames than one running score.
        span = slice(onset - 2 * RUNNING, onset)
        curves[change][0] = correlation(predicted[span], day.counts[span])
    return curves


def _predict(model: Model, day: Day, frames: NDArray[Any], start: int) -> Floats:
    predicted = [
        model.step(
            Sample(str(start + n), day.name, frame[None], day.counts[start + n])
        ).prediction.values
        for n, frame in enumerate(frames)
    ]
    return np.asarray(predicted, dtype=np.float64)


def _back(share: Floats) -> int | None:
    """Samples until a share of the level is back for good; None if it never is."""
    enough = share >= BACK
    if enough.all():
        return 0
    # It counts from the lowest point on: at first the running score still holds earlier frames.
    lowest = int(share[: 2 * RUNNING].argmin())
    held = [n for n in range(lowest, len(share)) if enough[n : n + RUNNING].all()]
    return held[0] + 1 if held else None


def table(result: Mapping[str, Any]) -> str:
    """Markdown: ours, its parts, and the best of the ridges in hindsight."""
    title = (
        f"Samples until the running r (last {result['running']} frames, mean of "
        f"{len(result['days'])} days) is back for good at {BACK:.0%} of what it was before, and of "
        f"what it is without the change; — not within {AFTER} frames."
    )
    lines = [
        title,
        "",
        "| change | model | r before | lowest share | back to before | back to itself |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for change, models in result["changes"].items():
        ours = [name for name in models if name.startswith("ours")]
        ridges = [name for name in models if not name.startswith("ours")]
        best = min(ridges, key=lambda name: _order(models[name]), default=None)
        for name in [*ours, *([best] if best else [])]:
            row = models[name]
            label = name if name in ours else f"best fixed with forgetting: {name}"
            backs = ["—" if row[k] is None else str(row[k]) for k in ("back", "back_to_itself")]
            lines.append(
                f"| {change} | {label} | {row['before']:.3f} | {row['lowest']:.2f} | "
                f"{' | '.join(backs)} |"
            )
    return "\n".join(lines)


def _order(row: Mapping[str, Any]) -> tuple[float, float]:
    """Soonest back to itself first; of those never back, the one that scores highest."""
    back = row["back_to_itself"]
    return (np.inf if back is None else back, -float(np.mean(row["curve"])))
