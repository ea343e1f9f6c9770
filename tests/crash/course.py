"""What an experiment sends, by number: the same whether its service is killed or not."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.client import Client, Stream
from tests.crash.models import CLASSES, MODELS, outputs

SESSION_EVERY = 90
FREEZE_EVERY = 70
# A sample that is answered before it is learned from.
EARLY_EVERY = 3
FROZEN_FOR = 6
# A label comes so many samples after its own.
LATE = 2
# As many as a model may hold labels back for.
AFTER = 4
Send = Callable[[Stream], "Future[Any]"]


@dataclass(frozen=True)
class Step:
    """One request; a barrier is sent alone, when everything before it was answered."""

    name: str
    send: Send | None = None
    ask: Callable[[Client], Any] | None = None


def window(model: str, index: int) -> NDArray[np.float32]:
    """Repeatable noise whose loudness in one channel depends on its class, (channels, *shape)."""
    spec = MODELS[model]
    noise = np.random.default_rng((len(model), index)).normal(
        size=(spec["channels"], *spec["shape"])
    )
    noise[chosen(index) % spec["channels"]] *= 1.0 + 2.0 * chosen(index)
    return noise.astype(np.float32)


def target(model: str, index: int) -> NDArray[np.float32]:
    """What is to be predicted of it, (outputs,): a class, or counts that depend on one."""
    if model == "follower":
        one_hot: NDArray[np.float32] = np.eye(len(CLASSES), dtype=np.float32)[chosen(index)]
        return one_hot
    generator = np.random.default_rng((len(model), index, 1))
    rate = 1.0 + 3.0 * chosen(index)
    counts: NDArray[np.float32] = generator.poisson(rate, len(outputs(model))).astype(np.float32)
    return counts


def chosen(index: int) -> int:
    """Class of a window: it changes every few."""
    return index // 5 % len(CLASSES)


def steps(model: str, index: int) -> list[Step]:
    """What is sent about one sample: some with a target, some whose label comes later."""
    name = session(index)
    found: list[Step] = []
    if index % SESSION_EVERY == 0:
        found.append(Step(name, ask=lambda c: c.open_session(model, name, outputs(model))))
    if index % FREEZE_EVERY == FREEZE_EVERY - FROZEN_FOR:
        found.append(Step(f"freeze {index}", ask=lambda c: c.freeze(model)))
    if index and index % FREEZE_EVERY == 0:
        found.append(Step(f"resume {index}", ask=lambda c: c.resume(model)))
    found.append(sample(model, index, name, f"s{index}", index))
    if index >= LATE and waits(index - LATE):
        found.append(label(model, index - LATE))
    return found


def last_steps(model: str, count: int) -> list[Step]:
    """After so many samples: the labels that are due, and samples enough for those held back."""
    late = [each for each in range(max(0, count - LATE), count) if waits(each)]
    after = [2 * each for each in range(count, count + AFTER)]
    return [
        *(label(model, each) for each in late),
        *(sample(model, each, session(count - 1), f"last-{each}") for each in after),
    ]


def sample(model: str, index: int, name: str, sample_id: str, sequence: int | None = None) -> Step:
    """A sample, every other one without its target."""
    x, y = window(model, index), None if waits(index) else target(model, index)
    early = index % EARLY_EVERY == 0
    return Step(
        sample_id,
        send=lambda s: s.update(
            model, name, sample_id, x, y, sequence=sequence, answer_early=early
        ),
    )


def label(model: str, index: int) -> Step:
    """The label of a sample that was sent without."""
    y = target(model, index)
    return Step(f"label {index}", send=lambda s: s.label(model, session(index), f"s{index}", y))


def session(index: int) -> str:
    """The session of a sample."""
    return f"day-{index // SESSION_EVERY}"


def waits(index: int) -> bool:
    """Whether a sample is sent without its target."""
    return index % 2 == 1
