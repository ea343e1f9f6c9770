"""The pictures that the demo leaves behind."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from scatonline.config import ModelSpec
from scatonline.scores import PRIMARY
from service.client import Filter, Move
from service.demo.ledger import Ledger
from service.demo.scores import SPAN, TITLES, common_length, curves
from service.recordings import Recording

DPI = 130


def save_filters(
    path: Path,
    spec: ModelSpec,
    before: Sequence[Filter],
    after: Sequence[Filter],
    rate_hz: float | None,
) -> None:
    """Filters before the first and after the last sample."""
    from scatonline.plots import filters_sheet

    filters_sheet(spec, before, after, rate_hz).savefig(path, dpi=DPI)


def save_scores(
    path: Path,
    recording: Recording,
    ledgers: Mapping[str, Ledger],
    moves: Sequence[tuple[Move, int]],
) -> bool:
    """Score of every model over the stream; False if nothing was scored."""
    from scatonline.plots import ScoreCurve, score_over_time

    scored = common_length(ledgers)
    if not scored:
        return False
    checkpoints, pairs = curves(recording.kind, ledgers)
    first = next(iter(ledgers.values()))
    score_over_time(
        checkpoints,
        {name: ScoreCurve(*pair) for name, pair in pairs.items()},
        TITLES[PRIMARY[recording.kind]],
        SPAN,
        [(start, name) for start, name in first.sessions() if start < scored],
        [(sample, move.kind) for move, sample in moves],
    ).savefig(path, dpi=DPI)
    return True
