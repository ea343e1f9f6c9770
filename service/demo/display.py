"""What the terminal shows while the stream runs."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from scatonline.scores import PRIMARY
from service.client import Move
from service.demo.ledger import Ledger
from service.demo.scores import SPAN, TITLES, stream_scores
from service.recordings.recording import ReadoutKind

PLAIN_EVERY_S = 10.0


def move_text(move: Move, sample: int) -> str:
    """A structure move in one line; its reason names the filter and the numbers."""
    return f"after {sample} samples: {move.reason}"


class Display:
    """A table of the models that keeps itself current, and lines for what happens.

    Where the output is no terminal, a line now and then takes the table's place.

    Args:
        console: Where to write.
        kind: Readout of the recording.
        samples: Length of the stream.
        ledgers: By model.
    """

    def __init__(
        self, console: Console, kind: ReadoutKind, samples: int, ledgers: Mapping[str, Ledger]
    ) -> None:
        self._console = console
        self._kind = kind
        self._samples = samples
        self._ledgers = ledgers
        self._began_s = time.monotonic()
        self._plain_due_s = self._began_s + PLAIN_EVERY_S
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def update(self) -> None:
        """Shows where the stream stands."""
        now_s = time.monotonic()
        if self._live is not None:
            self._live.update(self._table(now_s - self._began_s), refresh=True)
        elif now_s >= self._plain_due_s:
            self._plain_due_s = now_s + PLAIN_EVERY_S
            self._console.print(self._line(), soft_wrap=True)

    def moved(self, moves: Sequence[tuple[Move, int]]) -> None:
        """Tells structure moves as they happen, each with the sample it came after."""
        for move, sample in moves:
            self._console.print(f"  {move_text(move, sample)}", markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self.update()
            self._live.__exit__(kind, error, trace)

    def _table(self, elapsed_s: float) -> Table:
        table = Table(title=TITLES[PRIMARY[self._kind]], title_justify="left", box=None)
        table.add_column("model")
        table.add_column("samples", justify="right")
        table.add_column("", width=20)
        for column in ("samples/s", "all", f"last {SPAN}"):
            table.add_column(column, justify="right")
        for name, ledger in self._ledgers.items():
            bar = ProgressBar(total=self._samples, completed=ledger.answered, width=20)
            table.add_row(
                name,
                str(ledger.answered),
                bar,
                f"{ledger.answered / max(elapsed_s, 1e-3):.0f}",
                self._score(ledger, 0),
                self._score(ledger, ledger.scored - SPAN),
            )
        return table

    def _line(self) -> str:
        parts = (
            f"{name} {ledger.answered}/{self._samples} {self._score(ledger, 0)}"
            for name, ledger in self._ledgers.items()
        )
        return f"  {TITLES[PRIMARY[self._kind]]}: {', '.join(parts)}"

    def _score(self, ledger: Ledger, first: int) -> str:
        scores = stream_scores(self._kind, ledger.stretches(max(0, first), ledger.scored))
        return f"{scores[PRIMARY[self._kind]]:.3f}" if scores else "–"
