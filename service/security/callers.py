"""Who calls, and whether they may."""

from collections.abc import Iterable
from dataclasses import dataclass

from grpc import StatusCode

from service.security.roles import least
from service.security.tokens import Tokens

_HEADER = "authorization"
_SCHEME = "bearer"
_EXPECTED = f"expected {_HEADER}: Bearer TOKEN"


@dataclass(frozen=True)
class Refusal:
    """Why a call may not go on.

    Attributes:
        reason: Label in the metrics.
        message: What came and what is expected; never a token.
    """

    reason: str
    message: str

    @property
    def code(self) -> StatusCode:
        """Status code that the client gets."""
        forbidden = self.reason == "forbidden"
        return StatusCode.PERMISSION_DENIED if forbidden else StatusCode.UNAUTHENTICATED


class Callers:
    """Tells from the headers of a call whether its token holds and its role covers the call.

    Args:
        tokens: Who may call.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def refusal(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Refusal | None:
        """Why a call may not go on, as of now; None if it may.

        Args:
            method: Full name, for example "/scatonline.v1.ScatOnline/Predict".
            metadata: Headers of the call.
        """
        header = [value for name, value in metadata if name == _HEADER]
        if not header:
            return Refusal("missing", f"got no token, {_EXPECTED}")
        token = _token(header)
        if token is None:
            return Refusal("malformed", f"got something else than one token, {_EXPECTED}")
        entry = self._tokens.find(token)
        if entry is None:
            return Refusal("unknown", "got a token that the service does not know")
        if entry.expired:
            return Refusal(
                "expired",
                f"got the token {entry.name!r}, which expired {entry.expires}, expected a new one",
            )
        needed = least(method)
        if not entry.role.covers(needed):
            return Refusal(
                "forbidden",
                f"got the token {entry.name!r} with the role {entry.role.value}, expected one with "
                f"the role {needed.value} for {method}",
            )
        return None


def _token(header: list[str | bytes]) -> str | None:
    if len(header) != 1 or not isinstance(header[0], str):
        return None
    scheme, _, token = header[0].partition(" ")
    return token.strip() if scheme.lower() == _SCHEME and token.strip() else None
