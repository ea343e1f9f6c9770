"""Which wavelet family suits a calibration set: ``bank.family = "auto"``.

Every family's unlearned bank gives columns of all calibration samples; the ridge readout that
structure checks use is fitted on some blocks of them and scored on the others, over several
restarts. The family that explains most is taken, unless the one that a bank has by default is
within one standard error of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scatonline.config import BankSpec, ModelSpec
from scatonline.errors import ConfigError
from scatonline.families import FAMILIES
from scatonline.features import Layout, Standardiser
from scatonline.scattering import Scattering
from scatonline.structure import Difference, Evidence, fit

# Inputs transformed together.
_CHUNK = 32
_FEWEST = 36
_DEFAULT = BankSpec().family


@dataclass(frozen=True)
class Candidate:
    """One family on the calibration set.

    Attributes:
        family: Its name.
        explained: Held-out explained variance, 1 − error/variance, mean over restarts.
        gain: Held-out explained variance beyond the default family's.
        se: Standard error of ``gain``, over held-out samples and restarts; 0 for the default.
    """

    family: str
    explained: float
    gain: float
    se: float


@dataclass(frozen=True)
class Choice:
    """What was chosen and why.

    Attributes:
        spec: The specification with the chosen family.
        candidates: All families tried, best first.
        reason: In words.
    """

    spec: ModelSpec
    candidates: tuple[Candidate, ...]
    reason: str


def choose_family(
    spec: ModelSpec, inputs: Tensor, targets: Tensor, families: Sequence[str] = ()
) -> Choice:
    """Chooses a family for a model.

    Args:
        spec: The model; its bank's family is ignored, everything else is kept.
        inputs: ``(samples, channels, *shape)`` float32, scaled as the model scales them, in the
            order in which they were recorded: blocks of neighbours are held out.
        targets: ``(samples, outputs)``, NaN where missing; classes one-hot.
        families: Names to choose among; all that exist for the inputs' dimensions if empty.

    Raises:
        ConfigError: fewer than 36 samples, targets for another number of samples, targets that
            never vary, no scattering columns, or a family that does not exist.
    """
    _require_calibration(spec, inputs, targets)
    names = list(families) or [name for name, d in FAMILIES if d == len(spec.shape)]
    restarts = spec.structure.restarts
    evidence = Evidence.of(targets.cpu(), spec.readout.kind, restarts, spec.seed)
    if evidence.silent:
        raise ConfigError("calibration targets never vary, expected some that do")
    # A family is judged by what it makes of single inputs: lags are the same for all of them.
    single = replace(spec, features=replace(spec.features, lags=0))
    errors = {name: _held_out(_with_family(single, name), inputs, evidence) for name in names}
    known = _DEFAULT if _DEFAULT in errors else names[0]
    candidates = []
    for name, own in errors.items():
        against = Difference.of(own - errors[known])
        se = 0.0 if name == known else against.se
        candidates.append(Candidate(name, 1 + float(own.nanmean()), against.mean, se))
    candidates.sort(key=lambda candidate: -candidate.explained)
    best = candidates[0]
    chosen = best if best.family == known or best.gain > best.se else _named(candidates, known)
    return Choice(
        _with_family(spec, chosen.family), tuple(candidates), _reason(chosen, best, known)
    )


def _require_calibration(spec: ModelSpec, inputs: Tensor, targets: Tensor) -> None:
    if len(inputs) < _FEWEST or len(inputs) != len(targets):
        raise ConfigError(
            f"calibration set has {len(inputs)} inputs and {len(targets)} targets, expected one "
            f"target for each of at least {_FEWEST} inputs"
        )
    if not spec.features.orders:
        raise ConfigError("features.orders is empty: a model without scattering has no family")


def _with_family(spec: ModelSpec, family: str) -> ModelSpec:
    return replace(spec, bank=replace(spec.bank, family=family))


def _held_out(spec: ModelSpec, inputs: Tensor, evidence: Evidence) -> Tensor:
    """Held-out scores, ``(restarts, samples)``, NaN where a restart drew the sample."""
    scattering = Scattering(spec.bank, spec.shape).to(inputs.device)
    layout = Layout(spec, scattering.cascade)
    with torch.no_grad():
        filters = scattering.build()
        averages = scattering.averages(torch.float32, inputs.device)
        pieces = [layout.columns(x, filters, averages) for x in torch.split(inputs, _CHUNK)]
    columns = torch.cat(pieces)
    z = Standardiser.fit(columns, layout.weight.to(inputs.device))(columns).cpu()
    refits = fit(z, evidence.filled, evidence.bags, spec.readout.ridge)
    score = evidence.scores()[0]
    scores = torch.full((len(refits), len(z)), math.nan, dtype=z.dtype)
    for restart, refit in enumerate(refits):
        held = evidence.bags.held(restart)
        scores[restart, held] = score(refit.predictions(), held).nanmean(1)
    return scores


def _named(candidates: Sequence[Candidate], name: str) -> Candidate:
    return next(candidate for candidate in candidates if candidate.family == name)


def _reason(chosen: Candidate, best: Candidate, known: str) -> str:
    if chosen is not best:
        return (
            f"{known} kept: {best.family} explains {best.gain:+.4f} ± {best.se:.4f} more of the "
            "held-out variance, which is within one standard error"
        )
    if chosen.family == known:
        return f"{known} explains most of the held-out variance: {chosen.explained:.4f}"
    return (
        f"{chosen.family} explains {chosen.gain:+.4f} ± {chosen.se:.4f} more of the held-out "
        f"variance than {known}"
    )
