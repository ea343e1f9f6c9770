"""Settings of the service: one YAML or TOML file, overridden by the environment.

A variable is named `SCATONLINE_` plus the path of the key with `__` between its parts, for example
`SCATONLINE_SERVER__PORT=0`; the environment wins over the file. Unknown keys are refused in both.
"""

import os
import re
import reprlib
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableVariable

from scatonline.config import ModelSpec
from scatonline.errors import ConfigError
from service import bounded_yaml
from service.errors import SettingsError

PREFIX = "SCATONLINE_"
DELIMITER = "__"
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"


class Section(BaseModel):
    """A part of the settings: frozen, and no key but those it names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """The gRPC server.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        drain_s: Seconds that learning from what waits may take after a stop signal, and then open
            calls to end.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=50051, ge=0, le=65535)
    drain_s: float = Field(default=4.0, gt=0)


class MetricsSettings(Section):
    """The Prometheus page.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        refresh_s: Least seconds between two reports of a model's filters and scores.
        tls: Encrypts the page as `security.tls` encrypts the gRPC server.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)
    refresh_s: float = Field(default=1.0, gt=0)
    tls: bool = False


class TlsSettings(Section):
    """PEM files that encrypt connections; read again when they change.

    Attributes:
        certificate: The service's certificate, followed by those between it and its authority;
            None: connections are not encrypted.
        key: Its private key, without a passphrase.
        client_ca: Authorities, one of which must have signed a client's certificate (mTLS); None:
            clients need no certificate.
    """

    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    @model_validator(mode="after")
    def _files_belong_together(self) -> "TlsSettings":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key, or neither of them")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("certificate and key where there is a client_ca")
        return self


class SecuritySettings(Section):
    """Who may talk to the service. All is open by default, and so only this machine gets in.

    Attributes:
        tls: Encrypts connections.
        tokens: YAML file with the digests of the tokens that calls must carry, read again when it
            changes; None: calls need none.
        trust_network: Serves other machines even where it would not encrypt or not ask who calls.
    """

    tls: TlsSettings = TlsSettings()
    tokens: Path | None = None
    trust_network: bool = False


class StorageSettings(Section):
    """Journal and checkpoints.

    Attributes:
        directory: Folder that holds one folder per model; one process at a time uses it.
        checkpoint_every_s: Seconds between checkpoints of a model that changes.
        keep: Newest checkpoints kept per model; 2 or more survive a damaged one.
        journal_bytes: Bytes by which a journal may grow before a checkpoint is written anyway.
    """

    directory: Path = Path("scatonline-state")
    checkpoint_every_s: float = Field(default=60.0, gt=0)
    keep: int = Field(default=3, ge=1)
    journal_bytes: int = Field(default=256 * 2**20, ge=2**20)


class LimitSettings(Section):
    """What is refused rather than kept waiting.

    Attributes:
        max_message_bytes: Largest gRPC message.
        queue_depth: Events that may wait for one model's writer; the same number of predictions.
        stream_in_flight: Unanswered requests of one stream before the service stops reading it.
        stream_bytes: Bytes of those requests; a single larger one is taken alone.
        streams: Streams open at a time, those of watchers included.
        calls: Calls under way at a time, of all kinds.
        batch: Events of a model that share one flush of its journal.
        linger_s: Most seconds that a flush waits for more events, under load only.
        remembered_answers: Newest answers of a model that a repeated request gets again.
        sessions: Sessions of a model.
        models: Models served at a time.
        import_bytes: Largest file of a model that is imported.
    """

    max_message_bytes: int = Field(default=64 * 2**20, ge=2**16, lt=2**31)
    queue_depth: int = Field(default=256, ge=1)
    stream_in_flight: int = Field(default=64, ge=1)
    stream_bytes: int = Field(default=8 * 2**20, ge=2**16)
    streams: int = Field(default=64, ge=1)
    calls: int = Field(default=1024, ge=1)
    batch: int = Field(default=64, ge=1)
    linger_s: float = Field(default=0.002, ge=0, le=1)
    remembered_answers: int = Field(default=4096, ge=0)
    sessions: int = Field(default=256, ge=1)
    models: int = Field(default=16, ge=1)
    import_bytes: int = Field(default=2**30, ge=2**16)


class LogSettings(Section):
    """The log on standard error.

    Attributes:
        level: Least level that is written.
        format: `console` for people, `json` for machines.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


def _in_range(value: object, build: ValidatorFunctionWrapHandler) -> ModelSpec:
    """Keeps the place of a specification that is out of range, which pydantic would lose."""
    try:
        spec: ModelSpec = build(value)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    if not re.fullmatch(MODEL_NAME, spec.name):
        raise ValueError(
            f"name: got {spec.name!r}, expected a name that can be a folder: {MODEL_NAME}"
        )
    return spec


_Specification = Annotated[ModelSpec, WrapValidator(_in_range)]


class _OneModel(Section):
    """A specification that comes alone."""

    specification: _Specification


class Settings(BaseSettings):
    """All settings.

    Attributes:
        device: `cpu`, `cuda`, `cuda:N`, or `auto` for a GPU where there is one.
        threads: Threads that one operation may use; 0: as many as there are processors. Several pay
            with large inputs, or where the machine is the service's own.
        models: The models served, each under a name of its own.
        calibration: For a model whose ``bank.family`` is ``auto``: a recording to choose it from.
        start: For a model without a checkpoint of its own: the folder that `scatonline fit` wrote.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, extra="forbid", frozen=True
    )

    server: ServerSettings = ServerSettings()
    metrics: MetricsSettings = MetricsSettings()
    security: SecuritySettings = SecuritySettings()
    storage: StorageSettings = StorageSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: int = Field(default=1, ge=0)
    models: tuple[_Specification, ...]
    calibration: dict[str, Path] = {}
    start: dict[str, Path] = {}

    @field_validator("models")
    @classmethod
    def _names_are_distinct(cls, models: tuple[ModelSpec, ...]) -> tuple[ModelSpec, ...]:
        if not models:
            raise ValueError("at least one model")
        names = [model.name for model in models]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"got the name {twice[0]!r} twice, expected distinct names")
        return models

    @model_validator(mode="after")
    def _files_are_of_models(self) -> "Settings":
        names = {model.name for model in self.models}
        for key, files in (("calibration", self.calibration), ("start", self.start)):
            for name in files:
                if name not in names:
                    raise ValueError(f"{key}.{name}: expected the name of a model: {names}")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (pydantic-settings fixes the arguments)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose values come as keyword arguments."""
        return env_settings, init_settings


def model_spec(text: str) -> ModelSpec:
    """Reads one model's specification, as one entry of `models`, from YAML or JSON.

    Raises:
        SettingsError: names the key, what came and what was expected.
    """
    value = bounded_yaml.read(text, "specification")
    try:
        return _OneModel(specification=value).specification
    except ValidationError as error:
        lines = (_described("model", _OneModel, detail) for detail in error.errors())
        raise SettingsError("; ".join(lines)) from error


def load(path: Path) -> Settings:
    """Reads the settings from a file and the environment.

    Args:
        path: A `.yaml`, `.yml` or `.toml` file.

    Raises:
        SettingsError: names the file or variable, the key, what came and what was expected.
    """
    values = _read(path)
    _refuse_unknown_variables()
    try:
        return Settings(**values)
    except ValidationError as error:
        lines = "\n".join(
            f"  {_described(_source(path, detail), Settings, detail)}" for detail in error.errors()
        )
        raise SettingsError(f"settings refused:\n{lines}") from error
    except UnreadableVariable as error:
        raise SettingsError(f"environment: {error}: expected JSON") from error


def _read(path: Path) -> dict[str, Any]:
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
    }
    if path.suffix not in readers:
        raise SettingsError(
            f"{path}: got the ending {path.suffix!r}, expected one of {', '.join(sorted(readers))}"
        )
    try:
        values = readers[path.suffix](path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise SettingsError(f"{path}: got {type(values).__name__}, expected named keys")
    return values


def _refuse_unknown_variables() -> None:
    """pydantic-settings looks up the variables it knows; a mistyped first part would be ignored."""
    for variable in os.environ:
        if variable.upper().startswith(PREFIX):
            key = variable[len(PREFIX) :].lower().split(DELIMITER)[0]
            if key not in Settings.model_fields:
                raise SettingsError(
                    f"environment {variable}: got the unknown key {key!r}, "
                    f"expected one of {', '.join(Settings.model_fields)}"
                )


def _described(source: str, root: type[Any], detail: ErrorDetails) -> str:
    """One refused value in words.

    Args:
        source: Where it came from.
        root: What the place of the value begins in.
        detail: What pydantic says.
    """
    place = ".".join(str(part) for part in detail["loc"])
    where = f"{source}: {place}" if place else source
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = ", ".join(_known_keys(root, detail["loc"]))
        return f"{where}: got an unknown key, expected one of {known}"
    expected = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("missing", "missing_argument"):
        return f"{where}: got nothing, expected a value"
    return f"{where}: got {_shortened(detail['input'])}, expected: {expected}"


def _known_keys(section: Any, place: tuple[int | str, ...]) -> list[str]:
    """Keys of the section that holds the key at this place of another one."""
    for part in place[:-1]:
        if isinstance(part, str):
            section = get_type_hints(section)[part]
            section = get_args(section)[0] if get_origin(section) is tuple else section
    if issubclass(section, BaseModel):
        return list(section.model_fields)
    return [field.name for field in fields(section)]


def _source(path: Path, detail: ErrorDetails) -> str:
    """The variable that gave the value, else the file."""
    parts = [str(part) for part in detail["loc"]]
    prefixes = (PREFIX + DELIMITER.join(parts[:end]) for end in range(len(parts), 0, -1))
    return next(_variables(prefixes), str(path))


def _variables(names: Iterator[str]) -> Iterator[str]:
    present = {name.upper(): name for name in os.environ}
    return (f"environment {present[name.upper()]}" for name in names if name.upper() in present)


def _shortened(value: object) -> str:
    # By its first few parts: what YAML names many times over may be too large to be written out.
    text = reprlib.repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
