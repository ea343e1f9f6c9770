"""A model's state as named tensors and plain metadata, and back.

Tensors are named by place (``bank.1.theta``, ``session.0.weights``); everything else is JSON-safe.
Restoring gives the same bits in every later step.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scatonline.cascade import FilterName, Use
from scatonline.config import ModelSpec
from scatonline.errors import StateVersionError
from scatonline.features import Layout, Standardiser
from scatonline.learner import Learner
from scatonline.session import Session

FORMAT = 8

Tensors = dict[str, Tensor]
Meta = dict[str, Any]


def require(spec: ModelSpec, meta: Mapping[str, Any]) -> None:
    """Refuses a state of another format or another specification.

    Raises:
        StateVersionError: naming what differs.
    """
    if meta.get("format") != FORMAT:
        raise StateVersionError(
            f"state has format {meta.get('format')!r}, this version reads {FORMAT}: "
            "use the version that wrote it"
        )
    # Through JSON, which knows no tuples, whether or not the state has been there.
    saved, wanted = (_flat(json.loads(json.dumps(s))) for s in (meta["spec"], spec.to_dict()))
    differing = sorted(k for k in saved.keys() | wanted.keys() if saved.get(k) != wanted.get(k))
    if differing:
        listed = "; ".join(f"{k}: saved {saved.get(k)}, asked {wanted.get(k)}" for k in differing)
        raise StateVersionError(
            f"state belongs to another specification ({listed}): take the saved one or another name"
        )


def digest(tensors: Tensors, meta: Meta) -> str:
    """SHA-256 over every tensor's name, type, shape and bits, and the metadata."""
    sha = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()


def part(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Tensors whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def learner_state(learner: Learner) -> tuple[Tensors, Meta]:
    """Banks, optimisers, collected gradients, scales."""
    tensors: Tensors = {
        "standardiser.mean": learner.standardiser.mean,
        "standardiser.scale": learner.standardiser.scale,
    }
    banks = []
    for bank, descent in zip(learner.banks(), learner.descents, strict=True):
        at = f"bank.{bank.layer}"
        rows = zip(("theta", "lower", "upper", "initial"), bank.tables(), strict=True)
        tensors |= {f"{at}.{name}": table for name, table in rows}
        tensors |= {f"{at}.descent.{name}": table for name, table in descent.tensors().items()}
        names = [[n.id, n.scale] for n in bank.names]
        banks.append({"names": names, "made": [[j, n] for j, n in bank.made.items()]})
    for use, psi in learner.filters.items():
        if psi.grad is not None:
            tensors[_gradient_of(use)] = psi.grad
    for i, (_, columns, target) in enumerate(learner.calibration):
        tensors[f"calibration.{i}.columns"] = columns
        tensors[f"calibration.{i}.target"] = target
    meta = {
        "banks": banks,
        "collected": learner.collected,
        "boosted": learner.boosted,
        "retreats": learner.retreats,
        "calibrated": learner.calibrated,
        "calibration": [name for name, _, _ in learner.calibration],
    }
    return tensors, meta


def restore_learner(learner: Learner, tensors: Tensors, meta: Meta) -> None:
    """Inverse of :func:`learner_state`, on a new learner."""
    pairs = zip(learner.banks(), learner.descents, meta["banks"], strict=True)
    for bank, descent, saved in pairs:
        at = f"bank.{bank.layer}"
        names = [FilterName(id_, bank.layer, scale) for id_, scale in saved["names"]]
        tables = (tensors[f"{at}.{name}"] for name in ("theta", "lower", "upper", "initial"))
        bank.restore(names, dict(saved["made"]), *tables)
        descent.load({k: tensors[f"{at}.descent.{k}"] for k in descent.tensors()})
    learner.scattering.arrange()
    learner.layout = Layout(learner.spec, learner.scattering.cascade)
    learner.standardiser = Standardiser(
        tensors["standardiser.mean"], tensors["standardiser.scale"], learner.lags
    )
    learner.calibrated = meta["calibrated"]
    learner.calibration = [
        (name, tensors[f"calibration.{i}.columns"], tensors[f"calibration.{i}.target"])
        for i, name in enumerate(meta["calibration"])
    ]
    learner.rebuild()
    learner.collected = meta["collected"]
    learner.boosted, learner.retreats = meta["boosted"], meta["retreats"]
    for use, psi in learner.filters.items():
        name = _gradient_of(use)
        psi.grad = tensors[name].clone() if name in tensors else None


def _gradient_of(use: Use) -> str:
    return f"gradient.{use.layer}.{use.scale}.{use.level}"


def session_state(session: Session) -> tuple[Tensors, Meta]:
    """Readout, window, score, realignment, past, ids."""
    tensors: Tensors = {
        "window.inputs": session.window.inputs,
        "window.targets": session.window.targets,
        "window.numbers": session.window.numbers,
    }
    tensors |= {f"past.{lag}": kept for lag, kept in enumerate(session.past, 1)}
    tensors |= {f"readout.{name}": table for name, table in session.readout.tensors().items()}
    tensors |= {f"score.{k}": torch.from_numpy(v) for k, v in session.score.arrays().items()}
    realigned = session.realignment
    if realigned is not None:
        tensors |= {f"realignment.{name}": table for name, table in realigned.tensors().items()}
    meta = {
        "name": session.name,
        "outputs": list(session.outputs),
        "learned": session.learned,
        "came": session.came,
        "past": len(session.past),
        "written": session.window.written,
        "scored": session.score.samples,
        "readout": session.readout.meta(),
        "realignment": None if realigned is None else realigned.meta(),
        "ids": list(session.ids),
    }
    return tensors, meta


def restore_session(spec: ModelSpec, tensors: Tensors, meta: Meta, device: str) -> Session:
    """Inverse of :func:`session_state`."""
    none = torch.zeros(0, dtype=torch.long)
    session = Session.opened(spec, meta["name"], meta["outputs"], none, 0.0, device)
    window = session.window
    session.readout.load(part(tensors, "readout."), meta["readout"])
    if session.realignment is not None:
        session.realignment.load(part(tensors, "realignment."), meta["realignment"])
    window.inputs, window.targets = tensors["window.inputs"], tensors["window.targets"]
    window.numbers, window.written = tensors["window.numbers"], meta["written"]
    arrays = {k: tensors[f"score.{k}"].cpu().numpy() for k in session.score.arrays()}
    session.score.load(meta["scored"], arrays)
    session.learned, session.came = meta["learned"], meta["came"]
    session.past = tuple(tensors[f"past.{lag}"] for lag in range(1, meta["past"] + 1))
    session.ids = OrderedDict.fromkeys(meta["ids"])
    return session


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        key: leaf
        for name, value in values.items()
        for key, leaf in _flat(value, f"{prefix}.{name}" if prefix else name).items()
    }
