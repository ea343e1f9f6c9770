"""The work that is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One transform on one size of batch.

    Attributes:
        shape: Size of a signal.
        J: Scales.
        batch: Signals that go through together.
        Q: Wavelets an octave over time; unused for images, which have 8 orientations.
        goal: Least ratio of the peer's time to ours, if one is set.
    """

    shape: tuple[int, ...]
    J: int
    batch: int
    Q: int = 8
    goal: float | None = None

    @property
    def name(self) -> str:
        """As tables show it."""
        size = "×".join(map(str, self.shape))
        voices = f" Q{self.Q}" if len(self.shape) == 1 else ""
        return f"{len(self.shape)}-D {size} J{self.J}{voices}, batch {self.batch}"


FORWARD = (
    Case((32, 32), 2, 1, goal=40),
    Case((64, 64), 3, 1, goal=40),
    Case((128, 128), 4, 1, goal=30),
    Case((32, 32), 2, 64, goal=4),
    Case((64, 64), 3, 64, goal=4),
    Case((128, 128), 4, 16, goal=4),
    Case((1024,), 6, 1, goal=30),
    Case((4096,), 8, 1, goal=30),
    Case((256,), 5, 16, Q=4, goal=15),
)
STEP = (
    Case((32, 32), 2, 1, goal=25),
    Case((64, 64), 3, 1, goal=25),
)
FAMILIES = (
    Case((32, 32), 2, 1),
    Case((64, 64), 3, 1),
    Case((128, 128), 4, 1),
    Case((64, 64), 3, 16),
    Case((1024,), 6, 1),
)
CONSTRUCTION = Case((128, 128), 4, 1)
CONSTRUCTION_GOAL_S = 0.05
MEMORY = Case((128, 128), 4, 16, goal=1)
STREAM = Case((32, 32), 2, 1)

# Largest ratios that are aimed at: a forward pass to the FFTs in it, a step to a forward pass, and
# the late steps of a stream to the early ones.
FFT_GOAL = 2.5
STEP_GOAL = 4.0
STREAM_GOAL = 1.1
# Of other families: least share of the Morlet bank's ratio, and most seconds for the filters of
# a bank, asked of the case named.
FAMILY_GOAL = 0.5
BUILD_GOAL_S = 0.005
BUILD = Case((64, 64), 3, 1)
