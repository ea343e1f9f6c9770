"""The log: a line per event and none per sample, the same form from everyone, and no secrets."""

import ast
import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import LogCapture

from scatonline.model import Model
from scatonline.sample import Outcome, Sample
from service.client import Client, ClientError
from service.telemetry import configure_log
from tests.service.running import (
    ENCODER,
    counts,
    local_service,
    server_process,
    settings_values,
    waveform,
)

# Lines about the process; all others are about a model.
OF_THE_PROCESS = {"entrance", "serving", "draining", "stopped"}
# These write for people, and not to the service's log.
COMMANDS = {"demo", "fit"}
BOUND = {"model": "m", "session": "day-1", "sample_id": "s7"}
Format = Literal["json", "console"]


@pytest.fixture
def unchanged() -> Iterator[None]:
    """Leaves the log of this process as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def write(line_format: Format, level: str = "info") -> None:
    """Lines of the service and of libraries, some of them about a sample."""
    configure_log(level, line_format)
    log = structlog.get_logger("any")
    with bound_contextvars(**BOUND):
        log.info("applied", number=3)
        fail(log)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("obsolete", stacklevel=1)
    log.info("after")
    log.debug("details")
    logging.getLogger("grpc").info("chatter")


def fail(log: Any) -> None:
    token = "secret a"[::-1]  # a traceback may show this line
    try:
        len(token) / 0
    except ZeroDivisionError:
        log.exception("failed")
        logging.getLogger("asyncio").exception("task %s", "failed")


def read(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.usefixtures("unchanged")
def test_everybody_writes_lines_of_one_form_with_what_was_bound(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("json")
    shown = capsys.readouterr()
    lines = read(shown.err)
    assert shown.out == ""
    assert [line["level"] for line in lines] == ["info", "error", "error", "warning", "info"]
    assert [line["event"] for line in lines[:3]] == ["applied", "failed", "task failed"]
    assert "obsolete" in lines[3]["event"]
    assert all("ZeroDivisionError" in line["exception"] for line in lines[1:3])
    assert all(BOUND.items() <= line.items() for line in lines[:4])
    assert BOUND.keys().isdisjoint(lines[4])


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("line_format", ["json", "console"])
def test_values_of_variables_are_never_written(
    line_format: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    write(line_format)
    text = capsys.readouterr().err
    assert text.count("ZeroDivisionError") == 2
    assert "a terces" not in text


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("level", "lines"), [("debug", 6), ("info", 5), ("error", 2)])
def test_the_level_holds_for_everybody(
    level: str, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write("json", level)
    assert len(read(capsys.readouterr().err)) == lines


def test_what_breaks_is_told_with_its_model_session_and_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = LogCapture()
    structlog.configure(processors=[merge_contextvars, lines])
    step = Model.step

    def broken(model: Model, sample: Sample, *arguments: Any, **named: Any) -> Outcome:
        if sample.id == "breaks":
            raise ArithmeticError("nobody foresaw this")
        return step(model, sample, *arguments, **named)

    monkeypatch.setattr(Model, "step", broken)
    try:
        with local_service(settings_values(tmp_path, ENCODER)) as (_, client):
            client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
            client.update("encoder", "day-1", "whole", waveform(0), counts(0))
            with pytest.raises(ClientError, match="INTERNAL: internal error") as refused:
                client.update("encoder", "day-1", "breaks", waveform(1), counts(1))
            client.update("encoder", "day-1", "after", waveform(2), counts(2))
    finally:
        structlog.reset_defaults()
    told = {line["event"]: line for line in lines.entries if line["log_level"] == "error"}
    assert told.keys() == {"event_broke", "internal_error"}
    about = {"model": "encoder", "session": "day-1", "sample_id": "breaks"}
    assert all(about.items() <= line.items() for line in told.values())
    assert told["internal_error"]["incident"] in str(refused.value)
    assert not any("sample_id" in line for line in lines.entries if line["log_level"] == "info")


def test_every_event_is_documented(repository: Path) -> None:
    table = (repository / "docs" / "logs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| [a-z, ]+ \|", table, flags=re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"\w+", row)}
    parts = [
        path
        for path in (repository / "service").rglob("*.py")
        if path.relative_to(repository / "service").parts[0] not in COMMANDS
    ]
    assert documented == {name for path in parts for name in events(path)}


def events(path: Path) -> Iterator[str]:
    """First arguments of the calls of `_log`, both of those that a condition chooses from."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and "_log" in names(call.func):
            yield from (
                each.value
                for each in ast.walk(call.args[0])
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )


def names(expression: ast.expr) -> set[str]:
    return {each.id for each in ast.walk(expression) if isinstance(each, ast.Name)}


def test_samples_write_no_lines(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER, log={"format": "json"})
    with server_process(tmp_path, values) as server:
        with Client(server.address) as client:
            client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
            with client.stream(in_flight=16) as stream:
                answers = [
                    stream.update("encoder", "day-1", f"s{index}", waveform(index), counts(index))
                    for index in range(200)
                ]
                for answer in answers:
                    answer.result(60)
        assert server.terminate() == 0
    lines = read((tmp_path / "log.txt").read_text())
    assert 3 < len(lines) < 20, lines
    assert [line for line in lines if not {"event", "level", "timestamp"} <= line.keys()] == []
    of_models = [line for line in lines if line["event"] not in OF_THE_PROCESS]
    assert of_models
    assert [line for line in of_models if line.get("model") != "encoder"] == []
