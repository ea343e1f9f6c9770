"""Which filters act on what: the walk that lists a transform's channels and computes them.

Paths are sequences of filters with rising scales, one from each layer. Channels whose newest filter
has the same scale live on the same grid, whatever their order, so they form one *stage* and go
through Fourier transform, modulus and averaging together. A stage is fed by *branches*: all filters
of one layer and scale, applied to the channels of an earlier stage that have one filter less.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class FilterName:
    """Who a filter is: ``id`` stays the same for its whole life and is never given again."""

    id: str
    layer: int
    scale: int


@dataclass(frozen=True)
class Path:
    """One output channel: the filters it went through, first layer first; none for order 0."""

    filters: tuple[FilterName, ...]

    @property
    def order(self) -> int:
        """Number of moduli."""
        return len(self.filters)

    @property
    def key(self) -> tuple[str, ...]:
        """Ids of its filters."""
        return tuple(f.id for f in self.filters)


class Use(NamedTuple):
    """Filters of one layer and scale as they act on one level.

    Attributes:
        layer: Layer, from 1.
        scale: Their scale.
        level: log₂ of the sub-sampling of what they act on.
        factor: Sub-sampling of the result against that, along each axis.
    """

    layer: int
    scale: int
    level: int
    factor: int


@dataclass(frozen=True)
class Branch:
    """Filters applied to channels ``start`` to ``stop`` of stage ``source``, filters slowest."""

    use: Use
    source: int
    start: int
    stop: int
    channels: int


@dataclass(frozen=True)
class Stage:
    """All channels whose newest filter has one scale, by order, then by branch.

    Attributes:
        level: Of its grid.
        branches: What feeds it; none for the first stage, which is the signal.
        channels: How many it has.
        onward: Its first ``onward`` channels hold all those that deeper filters act on.
        factors: Sub-sampling of those deeper filters' results.
    """

    level: int
    branches: tuple[Branch, ...]
    channels: int
    onward: int = 0
    factors: tuple[int, ...] = ()


class Plan:
    """The stages and channels of one arrangement of filters.

    Attributes:
        stages: In an order in which they can be computed.
        paths: The output channels: order 0, order 1 by filter, order 2 by first and then second
            filter, ….
        rows: For each of ``paths``, the rows of its filters in their layers' banks.
        order: For each of ``paths``, its channel when all stages' channels stand in a row.
        places: For each of ``paths``, its stage and channel there.
        uses: The filters needed, each once.
    """

    def __init__(self, layers: Sequence[Sequence[FilterName]], level: Callable[[int], int]) -> None:
        """Walks once.

        Args:
            layers: Filters of each layer in bank order.
            level: Level of a channel whose newest filter has a given scale.
        """
        self._layers, self._level = layers, level
        walked = [_Walked(-1, 0, [], [()])]
        for scale in sorted({name.scale for names in layers for name in names}):
            stage = self._walk(scale, walked)
            if stage.branches:
                walked.append(stage)
        branches = [branch for stage in walked for branch in stage.branches]
        self.stages = tuple(
            stage.finished([b for b in branches if b.source == i]) for i, stage in enumerate(walked)
        )
        self.uses = sorted({branch.use for branch in branches})
        rows = [row for stage in walked for row in stage.rows]
        places = [(s, c) for s, stage in enumerate(walked) for c in range(len(stage.rows))]
        self.order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), rows[i]))
        self.places = [places[i] for i in self.order]
        self.rows = [rows[i] for i in self.order]
        self.paths = tuple(
            Path(tuple(layers[m][row] for m, row in enumerate(path))) for path in self.rows
        )

    def _walk(self, scale: int, earlier: "list[_Walked]") -> "_Walked":
        """The stage of ``scale``: for every layer, its filters on all that has one filter less."""
        stage = _Walked(scale, self._level(scale), [], [])
        for order, names in enumerate(self._layers):
            mine = [row for row, name in enumerate(names) if name.scale == scale]
            for index, source in enumerate(earlier):
                start, stop = source.span(order)
                if not mine or start == stop:
                    continue
                factor = 2 ** (stage.level - source.level)
                use = Use(order + 1, scale, source.level, factor)
                channels = len(mine) * (stop - start)
                stage.branches.append(Branch(use, index, start, stop, channels))
                stage.rows += [(*path, row) for row in mine for path in source.rows[start:stop]]
        return stage


@dataclass
class _Walked:
    """A stage while the walk goes on; ``rows`` are its paths, as rows of the layers' banks."""

    scale: int
    level: int
    branches: list[Branch]
    rows: list[tuple[int, ...]]

    def span(self, order: int) -> tuple[int, int]:
        """First and last + 1 channel of an order."""
        found = [i for i, row in enumerate(self.rows) if len(row) == order]
        return (found[0], found[-1] + 1) if found else (0, 0)

    def finished(self, onward: Sequence[Branch]) -> Stage:
        return Stage(
            self.level,
            tuple(self.branches),
            len(self.rows),
            max((branch.stop for branch in onward), default=0),
            tuple(sorted({branch.use.factor for branch in onward})),
        )
