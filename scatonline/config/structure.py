"""When filters are dropped or added."""

from dataclasses import dataclass

from scatonline.config.checks import positive, require


@dataclass(frozen=True)
class StructureSpec:
    """When filters are dropped or added (maths: CAR index with a confidence bound).

    Attributes:
        enabled: False keeps the filters that the bank starts with.
        window: Recent labelled samples that a check looks at.
        check_every: Learned samples between scheduled checks.
        restarts: Block-bootstrap refits before a removal.
        epsilon: Largest share of the held-out explained variance that the removals of one check
            may cost altogether.
        alpha: Error probability spent over all checks together.
        agreement: Share of restarts that must find the filter harmless.
        min_effective: Effective held-out samples below which nothing is removed.
        cooldown: Windows that must pass between two moves.
        max_filters: Most filters at one scale of one layer.
        min_filters: Fewest filters at one scale of one layer. 0 lets the coarsest scale of a layer
            close, and with its last one the layer, so that levels and order are structure, too; all
            other scales keep one.
        max_drops: Most filters removed by one check, CARs recomputed after each.
        candidates: New filters, or groups of them that open a scale or a layer, tried at each check
            after all were screened; 0 never adds.
    """

    enabled: bool = True
    window: int = 600
    check_every: int = 300
    restarts: int = 5
    epsilon: float = 0.01
    alpha: float = 0.05
    agreement: float = 0.8
    min_effective: float = 100.0
    cooldown: float = 0.25
    max_filters: int = 16
    min_filters: int = 0
    max_drops: int = 2
    candidates: int = 1

    def __post_init__(self) -> None:
        require(self.window >= 32, "structure.window", self.window, "at least 32 samples")
        require(self.check_every >= 1, "structure.check_every", self.check_every, "at least 1")
        require(self.restarts >= 1, "structure.restarts", self.restarts, "at least 1")
        positive("structure.epsilon", self.epsilon)
        require(0 < self.alpha < 1, "structure.alpha", self.alpha, "in (0, 1)")
        require(0 < self.agreement <= 1, "structure.agreement", self.agreement, "in (0, 1]")
        require(self.min_effective >= 1, "structure.min_effective", self.min_effective, "≥ 1")
        require(self.cooldown >= 0, "structure.cooldown", self.cooldown, "at least 0 windows")
        require(
            0 <= self.min_filters <= self.max_filters,
            "structure.min_filters",
            self.min_filters,
            "between 0 and max_filters",
        )
        require(self.max_filters >= 1, "structure.max_filters", self.max_filters, "at least 1")
        require(self.max_drops >= 0, "structure.max_drops", self.max_drops, "at least 0")
        require(self.candidates >= 0, "structure.candidates", self.candidates, "at least 0")
