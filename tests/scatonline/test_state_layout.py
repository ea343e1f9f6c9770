"""State lies in memory as a checkpoint gives it back: otherwise products would round otherwise."""

from typing import Any

import pytest

from scatonline.config import AdaptationSpec, FeatureSpec, ReadoutSpec
from scatonline.model import Model
from tests.scatonline.models import OUTPUTS, decided, specification, stream, unlabelled

LAGGED = FeatureSpec(orders=(0, 1), grid=(2, 2, 1), calibration=16, lags=2)
KEPT: dict[str, dict[str, Any]] = {
    "recursive": {"readout": ReadoutSpec("poisson", ridge=5.0, prior="learned")},
    "forgetting": {"readout": ReadoutSpec("gaussian", ridge=5.0, forgetting=0.99)},
    "classes": {"readout": ReadoutSpec("softmax", ridge=5.0)},
    "window": {
        "readout": ReadoutSpec("gaussian", method="window", window=24, memories=(0, 50)),
        "features": LAGGED,
    },
    "prior": {"readout": ReadoutSpec("poisson", method="window", window=80, prior="learned")},
    "factorised": {"readout": ReadoutSpec("gaussian", method="factorised")},
    "guarded": {"adaptation": AdaptationSpec(shadow=True, detect=True)},
}


def scattered(model: Model) -> set[str]:
    """Parts of the state whose elements do not follow one another."""
    return {name for name, tensor in model.state()[0].items() if not tensor.is_contiguous()}


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("dimensions", [1, 2])
def test_elements_follow_one_another_through_a_model_s_life(kept: str, dimensions: int) -> None:
    values = KEPT[kept]
    readout: ReadoutSpec = values.get("readout", ReadoutSpec())
    kind = readout.kind
    model = Model(specification(kind, dimensions, **values))
    for number, day in enumerate(("first", "second", "third")):
        outputs = OUTPUTS if kind == "softmax" else (*OUTPUTS[:2], f"u{7 + number}")
        model.open_session(day, outputs)
        samples = stream(model.spec, 90, seed=number, session=day)
        for place, sample in enumerate(samples):
            late = place % 8 == 3
            model.step(unlabelled(sample) if late else sample)
            if late and sample.target is not None:
                model.label(day, sample.id, sample.target)
            if place == 40:
                session = model._sessions[day]
                session.readout = session.readout.loosened()
                assert not scattered(model), "after a change"
            if place == 60 and day == "second":
                model.apply(decided(model))
                assert not scattered(model), "after a move"
        model.look_ahead([unlabelled(sample) for sample in samples])
        assert not scattered(model), day
