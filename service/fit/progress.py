"""A bar for the rounds and one for the steps of the present descent."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scatonline.nested import NestedSpec, Round

_PLAIN_EVERY_S = 10.0


class Bar:
    """Shows where a fit stands, on standard error; where that is no terminal, a line a round.

    Args:
        limits: Whose numbers of rounds and steps are the bars' lengths.
        console: Where to write; None: standard error.
    """

    def __init__(self, limits: NestedSpec, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[score]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._rounds = self._bars.add_task("rounds", total=limits.rounds, score="")
        self._steps = self._bars.add_task("θ", total=max(limits.steps, 1), score="")
        self._said_s = time.monotonic()

    def __call__(self, number: int, step: int, finished: Round | None) -> None:
        """Takes what :data:`scatonline.nested.Progress` is told."""
        if finished is None:
            self._bars.update(self._steps, completed=step)
            if not self._console.is_terminal and time.monotonic() > self._said_s + _PLAIN_EVERY_S:
                self._said_s = time.monotonic()
                self._console.print(f"  round {number}, step {step}", soft_wrap=True)
            return
        self._bars.update(self._rounds, completed=number, score=score_text(finished))
        self._bars.update(self._steps, completed=0)
        self._console.print(line(finished), markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, trace)


def score_text(finished: Round) -> str:
    """Held-out scores in a few words."""
    explained = f"explains {finished.explained:.3f}"
    if finished.accuracy is None:
        return explained
    return f"{explained}, accuracy {finished.accuracy:.3f}"


def line(finished: Round) -> str:
    """A round in one line."""
    if finished.reason:
        return f"    {finished.reason}"
    undone = "" if finished.kept else ", undone"
    return (
        f"  round {finished.number}: {score_text(finished)}, {finished.total_filters} filters, "
        f"{finished.steps} steps of θ{undone}"
    )
