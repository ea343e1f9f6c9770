"""Streams with a known truth: what each filter should matter is decided here."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    ModelSpec,
    ReadoutKind,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.features import Layout, Standardiser
from scatonline.scattering import Scattering
from scatonline.structure import RecentDrop, StructureCheck

SIZE = 8
ANGLES = 4
# The only filter whose direction the targets depend on.
CARRIER = "1/j0/1"
GRATINGS = ModelSpec(
    "gratings",
    1,
    (SIZE, SIZE),
    bank=BankSpec(J=1, L=ANGLES, max_order=1, padding="periodic"),
    features=FeatureSpec(orders=(1,), grid=(1,), calibration=16),
    readout=ReadoutSpec("gaussian", ridge=1.0),
    structure=StructureSpec(
        window=240, check_every=120, restarts=5, min_effective=20, max_filters=6
    ),
)


def gratings(
    samples: int, seed: int, kind: ReadoutKind = "gaussian", outputs: int = 1
) -> tuple[Tensor, Tensor]:
    """Images of one grating in each filter's direction, with independent amplitudes.

    Targets depend on the amplitude in the direction of :data:`CARRIER` and on nothing else.

    Returns:
        ``(samples, 1, 8, 8)`` float32 and ``(samples, outputs)`` float32.
    """
    rng = np.random.default_rng(seed)
    family = Scattering(GRATINGS.bank, GRATINGS.shape).bank(1)
    theta = family.values().detach()[:, 0].numpy()
    y, x = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    amplitude = rng.uniform(0.2, 1.0, (samples, ANGLES))
    phase = rng.uniform(0, 2 * np.pi, (samples, ANGLES))
    target: NDArray[np.floating[Any]]
    along = 2 * (np.cos(theta)[:, None, None] * x + np.sin(theta)[:, None, None] * y)
    waves = np.cos(along + phase[..., None, None])
    images = (amplitude[..., None, None] * waves).sum(1)[:, None]
    strength = (amplitude[:, 1] - 0.6) / 0.23
    if kind == "gaussian":
        target = strength[:, None] + 0.3 * rng.standard_normal((samples, outputs))
    elif kind == "poisson":
        target = 1.0 * rng.poisson(np.exp(0.5 + 0.7 * strength)[:, None], (samples, outputs))
    else:
        target = np.eye(2)[(strength + 0.1 * rng.standard_normal(samples) > 0).astype(int)]
    return torch.from_numpy(images).float(), torch.from_numpy(target).float()


def check_of(
    inputs: Tensor,
    targets: Tensor,
    seed: int = 0,
    spec: ModelSpec = GRATINGS,
    *,
    scattering: Scattering | None = None,
    recent_drops: tuple[RecentDrop, ...] = (),
    cooling: bool = False,
    **structure: Any,
) -> StructureCheck:
    """A structure check on a window, as a model would make it."""
    spec = replace(spec, structure=replace(spec.structure, **structure))
    scattering = scattering or Scattering(spec.bank, spec.shape)
    layout = Layout(spec, scattering.cascade)
    with torch.no_grad():
        low_pass = scattering.averages(torch.float32, torch.device("cpu"))
        columns = layout.columns(inputs, scattering.build(), low_pass)
    return StructureCheck(
        spec=spec,
        scattering=scattering,
        standardiser=Standardiser.fit(columns, layout.weight),
        inputs=inputs,
        targets=targets,
        session="a",
        look=1,
        cooling=cooling,
        recent_drops=recent_drops,
        base_event=0,
        seed=seed,
    )
