"""Instruments of one model as the rows of a table: a class with a line for each of them."""

from collections.abc import Callable
from typing import Generic, Self, TypeVar, overload

from prometheus_client import Counter, Gauge, Histogram

from service.telemetry.latency import Latency
from service.telemetry.shelf import Shelf

Made = TypeVar("Made")


class Row(Generic[Made]):
    """One line; in a table that was made its name stands for the instrument itself.

    Args:
        make: Makes the instrument on a shelf, for the model named.
    """

    def __init__(self, make: Callable[[Shelf, str], Made]) -> None:
        self.make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, table: None, owner: type) -> Self: ...
    @overload
    def __get__(self, table: object, owner: type) -> Made: ...
    def __get__(self, table: object | None, owner: type) -> Self | Made:
        # Only for the types' sake: a table's own attribute is found before this one.
        if table is None:
            return self
        made: Made = vars(table)[self._name]
        return made


class Table:
    """Has every instrument of its rows, all present from the start.

    Args:
        shelf: Where the instruments are registered.
        model: Name of the model.
    """

    def __init__(self, shelf: Shelf, model: str) -> None:
        for name, row in vars(type(self)).items():
            if isinstance(row, Row):
                vars(self)[name] = row.make(shelf, model)


def counter(name: str, text: str) -> Row[Counter]:
    """A row with a counter; its name and text as in :meth:`Shelf.counter`."""
    return Row(lambda shelf, model: shelf.counter(model, name, text))


def counters(name: str, text: str, kinds: tuple[str, ...]) -> Row[dict[str, Counter]]:
    """A row with a counter of each kind, which is a label."""
    return Row(lambda shelf, model: {k: shelf.counter(model, name, text, kind=k) for k in kinds})


def gauge(name: str, text: str) -> Row[Gauge]:
    """A row with a gauge."""
    return Row(lambda shelf, model: shelf.gauge(model, name, text))


def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Row[Histogram]:
    """A row with a histogram; buckets are upper bounds in the metric's unit."""
    return Row(lambda shelf, model: shelf.histogram(model, name, text, buckets))


def latency(name: str, text: str, buckets: tuple[float, ...]) -> Row[Latency]:
    """A row with a histogram that knows percentiles of its newest values, too."""
    return Row(lambda shelf, model: Latency(shelf.histogram(model, name, text, buckets)))
