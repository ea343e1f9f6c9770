"""A model that looks from several distances, served: it says what the library's model says."""

from pathlib import Path

import numpy as np

from scatonline.config import ModelSpec
from scatonline.model import Model
from scatonline.sample import Sample
from tests.service.running import ENCODER, local_service, settings_values

VIEWED = {**ENCODER, "features": {**ENCODER["features"], "dilations": [0.7, 1.0, 1.4]}}


def test_served_predictions_with_dilations_are_the_librarys(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((20, 1, 64)).astype(np.float32)
    counts = rng.poisson(2.0, (20, 2)).astype(np.float32)
    model = Model(ModelSpec.from_dict(VIEWED))
    model.open_session("day-1", ["unit-1", "unit-2"])
    with local_service(settings_values(tmp_path, VIEWED)) as (_, client):
        client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
        for number, (x, y) in enumerate(zip(inputs, counts, strict=True)):
            served = client.update("encoder", "day-1", str(number), x, y)
            ours = model.step(Sample(str(number), "day-1", x, y))
            np.testing.assert_array_equal(served.prediction.values, ours.prediction.values)
        asked = client.predict("encoder", "day-1", inputs[0])
    np.testing.assert_array_equal(asked.values, model.reader().predict("day-1", inputs[0]).values)
