"""The one table from errors to gRPC status codes."""

import uuid
from dataclasses import dataclass

import structlog
from grpc import StatusCode

from scatonline import errors as library
from service import errors

_log = structlog.get_logger(__name__)

CODES: dict[type[Exception], StatusCode] = {
    errors.InvalidRequest: StatusCode.INVALID_ARGUMENT,
    library.ShapeError: StatusCode.INVALID_ARGUMENT,
    library.NumericalError: StatusCode.INVALID_ARGUMENT,
    library.ConfigError: StatusCode.INVALID_ARGUMENT,
    errors.UnknownModel: StatusCode.NOT_FOUND,
    library.UnknownName: StatusCode.NOT_FOUND,
    library.DuplicateName: StatusCode.ALREADY_EXISTS,
    errors.NotReady: StatusCode.FAILED_PRECONDITION,
    errors.Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    errors.OverLimit: StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.CheckLost: StatusCode.ABORTED,
    errors.UnknownCheckpoint: StatusCode.NOT_FOUND,
    errors.SettingsError: StatusCode.INVALID_ARGUMENT,
    errors.CorruptRecord: StatusCode.DATA_LOSS,
    errors.StorageFull: StatusCode.RESOURCE_EXHAUSTED,
    errors.StorageBroken: StatusCode.UNAVAILABLE,
    library.StateVersionError: StatusCode.FAILED_PRECONDITION,
}
# When it is worth coming again, in milliseconds: a queue empties quickly, a disk or a new process
# takes longer.
RETRY_MS: dict[type[Exception], int] = {
    errors.Overloaded: 50,
    errors.StorageFull: 1000,
    errors.StorageBroken: 1000,
    errors.Unavailable: 1000,
}
# As gRPC's own clients understand both (gRFC A6).
RETRY_KEY = "grpc-retry-pushback-ms"
NEVER = "-1"
_LONGEST = 1000


@dataclass(frozen=True)
class Refusal:
    """What a client is told when its request fails.

    Attributes:
        code: gRPC status code.
        message: What was expected and what came; nothing of the inside.
        retry_ms: Milliseconds after which the same request may do better; None: never.
    """

    code: StatusCode
    message: str
    retry_ms: int | None = None

    @property
    def reason(self) -> str:
        """Label of the refusal in the metrics."""
        return self.code.name.lower()

    @property
    def retry_after(self) -> str:
        """When to come again, as it travels beside the code."""
        return NEVER if self.retry_ms is None else str(self.retry_ms)

    @property
    def number(self) -> int:
        """The code as it travels."""
        number: int = self.code.value[0]
        return number


def refusal(error: Exception) -> Refusal:
    """Looks an error up; one that no table names becomes INTERNAL with an id that the log has."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return Refusal(CODES[kind], _shortened(str(error)), RETRY_MS.get(kind))
    incident = uuid.uuid4().hex[:12]
    _log.error("internal_error", incident=incident, exc_info=error)
    return Refusal(
        StatusCode.INTERNAL,
        f"internal error {incident}: the service's log has the details under this id",
    )


def _shortened(message: str) -> str:
    """A message may quote a request, and gRPC drops a reply whose headers are long.

    What is not ASCII takes three bytes for each of its own there. The end, which says what was
    expected, is kept.
    """
    written = message.encode(errors="replace")
    if len(written) <= _LONGEST:
        return message
    begin, end = written[: _LONGEST // 2], written[-_LONGEST // 2 :]
    return f"{begin.decode(errors='ignore')}…{end.decode(errors='ignore')}"
