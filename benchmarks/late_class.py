"""How a class that turns up late is learned: the table of docs/river.md.

Three rhythms in noise; the third comes after 120 samples of the two others, and is known beforehand
or not. ``python -m benchmarks.late_class`` takes about a minute.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from scatonline.config import BankSpec, FeatureSpec, LearningSpec
from scatonline.river import ScatteringClassifier

LENGTH = 32
# Cycles a sample.
RHYTHMS = (0.06, 0.17, 0.4)
NOISE = 0.6
BEFORE = 120
AFTER = (0, 1, 2, 3, 4, 10, 20, 40)
ASKED = 40
SEEDS = 10


def window(label: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """One window of a rhythm, of any phase, in noise."""
    wave = np.sin(2 * np.pi * RHYTHMS[label] * np.arange(LENGTH) + rng.uniform(0, 2 * np.pi))
    noisy: NDArray[np.float64] = wave + NOISE * rng.standard_normal(LENGTH)
    return noisy


def run(classes: tuple[int, ...] | None, seed: int) -> NDArray[np.float64]:
    """Accuracy on the first two and on the third rhythm, ``(len(AFTER), 2)``."""
    rng = np.random.default_rng(seed)
    model = ScatteringClassifier(
        shape=(LENGTH,),
        bank=BankSpec(J=3, Q=(2,), max_order=1),
        features=FeatureSpec(orders=(0, 1), grid=(2,), raw_grid=4, calibration=16),
        learning=LearningSpec(warmup=4, every=3),
        classes=classes,
    )

    def accuracy(labels: tuple[int, ...]) -> float:
        asked = [label for label in labels for _ in range(ASKED)]
        return float(np.mean([model.predict_one(window(label, rng)) == label for label in asked]))

    for i in range(BEFORE):
        model.learn_one(window(i % 2, rng), i % 2)
    rows, learned = [], 0
    for count in AFTER:
        for i in range(learned, count):
            # The new one first, then all in turn.
            label = (2 + i) % 3
            model.learn_one(window(label, rng), label)
        learned = count
        rows.append((accuracy((0, 1)), accuracy((2,)) if count else np.nan))
    return np.array(rows)


def main() -> None:
    """Prints means over seeds."""
    torch.set_num_threads(1)
    print(f"samples since     {'  '.join(f'{n:4d}' for n in AFTER)}")
    for name, classes in (("unknown", None), ("known", (0, 1, 2))):
        means = np.mean([run(classes, seed) for seed in range(SEEDS)], 0)
        for which, column in (("first two", means[:, 0]), ("third", means[:, 1])):
            print(f"{name:8}{which:10}{'  '.join(f'{share:4.2f}' for share in column)}")


if __name__ == "__main__":
    main()
