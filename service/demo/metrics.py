"""Whether the page that Prometheus would scrape answers."""

import urllib.error
import urllib.request
from dataclasses import dataclass

_COUNTER = "scatonline_samples_total"
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class MetricsCheck:
    """One scrape.

    Attributes:
        url: The page.
        answered: It gave status 200.
        series: Lines that hold a value.
        samples: What it counts as samples of the model asked about; None if it does not say.
        problem: Why it did not answer.
    """

    url: str
    answered: bool
    series: int
    samples: int | None
    problem: str = ""

    def __str__(self) -> str:
        if not self.answered:
            return f"{self.url} did not answer: {self.problem}"
        counted = "no samples" if self.samples is None else f"{self.samples} samples"
        return f"{self.url} answered while the service ran: {self.series} series, {counted} counted"


def check_metrics(url: str, model: str) -> MetricsCheck:
    """Scrapes the page once."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as page:  # noqa: S310 (our own URL)
            text = page.read().decode("utf-8")
    except (urllib.error.URLError, OSError, UnicodeDecodeError) as error:
        return MetricsCheck(url, answered=False, series=0, samples=None, problem=str(error))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    counts = [
        int(float(line.rsplit(" ", 1)[1]))
        for line in lines
        if line.startswith(_COUNTER + "{") and f'model="{model}"' in line
    ]
    return MetricsCheck(url, True, len(lines), counts[0] if counts else None)
