"""Bearer tokens: who holds one, what for and how long. The file knows their digests, not them.

A token is 32 random bytes, so a plain SHA-256 is enough: a slow digest would protect what can be
guessed.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails

from service.errors import SettingsError
from service.security.files import Reread, private_bytes
from service.security.roles import Role

KEY = "security.tokens"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class Entry(BaseModel):
    """One token of the file.

    Attributes:
        name: Whose it is, for messages and the log.
        role: What its holder may do.
        sha256: SHA-256 of the token, 64 hexadecimal digits.
        expires: When it ends to hold; None: never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=NAME)
    role: Role
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    expires: AwareDatetime | None = None

    @property
    def expired(self) -> bool:
        """True if it holds no longer."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


_ENTRIES = TypeAdapter(tuple[Entry, ...])


class Tokens:
    """The tokens of a file, as it is now: read again when it changes.

    Args:
        path: A YAML list of entries that only this process's user may read.
        on_failure: Called when a changed file was refused; the old tokens hold on.

    Raises:
        SettingsError: the file cannot be used.
    """

    def __init__(self, path: Path, on_failure: Callable[[], object] = lambda: None) -> None:
        self._entries = Reread(KEY, (path,), lambda: read(path), on_failure)

    def find(self, token: str) -> Entry | None:
        """The entry of a token, expired or not; takes the same time whichever it is."""
        sought = digest(token)
        found = None
        for entry in self._entries.current():
            if hmac.compare_digest(entry.sha256, sought):
                found = entry
        return found

    def __len__(self) -> int:
        return len(self._entries.current())


def make() -> str:
    """A new token: 43 signs that may stand in a URL."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What the file keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def read(path: Path) -> tuple[Entry, ...]:
    """Reads the entries of a file.

    Messages name places only: a file that somebody filled in wrongly may hold tokens.

    Raises:
        SettingsError: others can read the file, or it holds no list of entries.
    """
    try:
        content = yaml.safe_load(private_bytes(KEY, path))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsError(f"{KEY}: {path}, line {line}: not valid YAML") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError):
        raise SettingsError(f"{KEY}: {path}: not valid YAML") from None
    try:
        entries = _ENTRIES.validate_python(content)
    except ValidationError as error:
        told = "; ".join(_told(detail) for detail in error.errors(include_input=False))
        raise SettingsError(f"{KEY}: {path}: {told}") from None
    for field in ("name", "sha256"):
        values = [getattr(entry, field) for entry in entries]
        if len(set(values)) < len(values):
            raise SettingsError(f"{KEY}: {path}: got a {field} twice, expected distinct ones")
    return entries


def _told(detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        entry, *_ = detail["loc"]
        return f"entry {entry}: got an unknown key, expected {', '.join(Entry.model_fields)}"
    place = ", ".join(str(part) for part in detail["loc"])
    return f"entry {place}: {detail['msg']}" if place else f"expected a list of entries, {EXAMPLE}"


EXAMPLE = "each with name, role, sha256 and perhaps expires, as `scatonline token` prints them"
