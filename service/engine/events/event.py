"""What an event is, and the one way in which it changes a model."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Self, TypeVar

from numpy.typing import NDArray

from scatonline.sample import Outcome
from service.engine.answers import Request
from service.engine.served import Served

T = TypeVar("T")
Values = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


class Event(ABC, Generic[T]):
    """One change of a model; `T` is what whoever asked for it gets back.

    Attributes:
        kind: Name under which it is stored.
        alone: It changes what other events are checked against, so none is stored with it.
        early: Whoever asked for it is to be answered as soon as what comes of it is certain.
    """

    kind: ClassVar[str]
    alone: ClassVar[bool] = False
    early: bool = False

    @abstractmethod
    def apply(self, served: Served) -> T:
        """Changes the model, or raises and changes nothing."""

    def apply_telling(self, served: Served, expected: Callable[[T], object]) -> T:  # noqa: ARG002
        """As :meth:`apply`; calls ``expected`` with the result where that is certain before."""
        return self.apply(served)

    @abstractmethod
    def record(self) -> tuple[Values, Arrays]:
        """As JSON-safe values and arrays."""

    @classmethod
    @abstractmethod
    def from_record(cls, values: Values, arrays: Arrays) -> Self:
        """Inverse of :meth:`record`."""

    def check(self, served: Served) -> None:
        """Raises what :meth:`apply` would raise; changes nothing."""

    def request(self) -> Request | None:
        """What tells whether it has come before; None where coming again does no harm."""
        return None


def apply(
    event: Event[T],
    request: Request | None,
    served: Served,
    expected: Callable[[T], object] | None = None,
) -> T:
    """Changes the model, and remembers what is answered to a request that may come again.

    Args:
        event: What happens.
        request: As the event has it.
        served: What it changes.
        expected: As :meth:`Event.apply_telling` has it.

    Raises:
        As the event's own :meth:`Event.apply`; nothing has changed then.
    """
    result = event.apply(served) if expected is None else event.apply_telling(served, expected)
    if request is not None and isinstance(result, Outcome):
        served.answers.keep(request, result)
    return result
