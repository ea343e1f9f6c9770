"""A served decoder that follows its classes while electrodes move."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.client import Client
from tests.service.running import DECODER, local_service, settings_values

CLASSES, CHANNELS, BLOCK = ("fist", "point", "rest"), 4, 5
FOLLOWING: dict[str, Any] = {**DECODER, "channels": CHANNELS, "realignment": {"enabled": True}}


def window(index: int, chosen: int) -> NDArray[np.float32]:
    """Noise of a loudness by channel that depends on the class, (channels, 32)."""
    loudness = np.exp(np.random.default_rng(5).normal(size=(len(CLASSES), CHANNELS)))
    noise = np.random.default_rng(index).normal(size=(CHANNELS, 32))
    return (loudness[chosen, :, None] * noise).astype(np.float32)


def block(client: Client, turn: int, *, labels: bool = True) -> float:
    """Share right in a block of one class, whose labels come after its last window."""
    chosen, right = turn % len(CLASSES), 0
    indices = range(turn * BLOCK, (turn + 1) * BLOCK)
    for index in indices:
        outcome = client.update("decoder", "arm", f"w{index}", window(index, chosen))
        assert outcome.pending
        right += int(outcome.prediction.values.argmax()) == chosen
    if labels:
        late(client, turn)
    return right / BLOCK


def late(client: Client, turn: int) -> None:
    target = np.eye(len(CLASSES), dtype=np.float32)[turn % len(CLASSES)]
    for index in reversed(range(turn * BLOCK, (turn + 1) * BLOCK)):
        assert client.label("decoder", "arm", f"w{index}", target).learned


def test_it_learns_over_the_wire_and_continues_from_its_checkpoint(tmp_path: Path) -> None:
    """The last block's labels come after the restart."""
    values = settings_values(tmp_path, FOLLOWING)
    unseen = window(999, 1)
    with local_service(values) as (_, client):
        client.open_session("decoder", "arm", CLASSES)
        shares = [block(client, turn) for turn in range(20)]
        assert np.mean(shares[5:]) > 0.9
        block(client, 20, labels=False)
        expected = client.predict("decoder", "arm", unseen)
        state_hash = client.status(include_state_hash=True).models["decoder"].state_hash
    with local_service(values) as (_, client):
        found = client.predict("decoder", "arm", unseen)
        assert found.values.tobytes() == expected.values.tobytes()
        assert found.event == expected.event
        again = client.status(include_state_hash=True).models["decoder"]
        assert again.state_hash == state_hash
        late(client, 20)
        assert block(client, 21) == 1.0
