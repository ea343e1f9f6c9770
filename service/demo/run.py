"""The demo from start to end."""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from scatonline.config import ModelSpec
from service.client import Client, ClientError, Move
from service.demo.display import Display
from service.demo.errors import DemoError
from service.demo.excerpt import excerpt
from service.demo.ledger import Ledger
from service.demo.metrics import check_metrics
from service.demo.pictures import save_filters, save_scores
from service.demo.presets import LEARNED, preset
from service.demo.process import ServiceProcess
from service.demo.streaming import stream_samples
from service.demo.summary import Ending, Result, Summary, print_summary, save_summary
from service.recordings import RecordedSample, Recording, load

REFRESH_S = 0.5
HALT_S = 15.0
DEATH_S = 5.0
INTERRUPTED = 130


@dataclass(frozen=True)
class Plan:
    """What will be run.

    Attributes:
        recording: Where the samples come from.
        samples: What is streamed, in order.
        models: "learned" first.
        limit_s: Seconds after which the stream is ended.
        out: Folder for what is written.
    """

    recording: Recording
    samples: Sequence[RecordedSample]
    models: Sequence[ModelSpec]
    limit_s: float
    out: Path


def run_demo(
    data: Path | None, out: Path, samples: int | None, limit_s: float | None, *, short: bool
) -> int:
    """Streams a recording to a service of its own and tells what came of it.

    Args:
        data: An .npz recording; None for the built-in one.
        out: Folder for what is written; made if missing.
        samples: Length of the stream; None for the preset's.
        limit_s: Seconds after which the stream is ended; None for the preset's.
        short: A few hundred samples.

    Returns:
        0, or 130 after Ctrl-C.

    Raises:
        RecordingError: the recording cannot be streamed.
        DemoError: the service could not be started, died, or refused a sample.
    """
    console = Console(highlight=False)
    recording = load(data)
    chosen = preset(recording, short=short)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"cannot make the folder {out}: {error.strerror}") from error
    plan = Plan(
        recording,
        excerpt(recording, samples or chosen.samples),
        chosen.models,
        limit_s or chosen.limit_s,
        out,
    )
    _announce(console, plan)
    try:
        with _terminated_like_interrupted():
            result = _experiment(console, plan)
            _conclude(console, plan, result)
    except KeyboardInterrupt:
        console.print("\nInterrupted; the service was stopped.")
        return INTERRUPTED
    return INTERRUPTED if result.ending == "interrupted" else 0


def _announce(console: Console, plan: Plan) -> None:
    recording = plan.recording
    sessions = ", ".join(session.id for session in recording.sessions)
    console.print(
        f"[bold]{recording.name}[/bold]: {recording.task}, {recording.channels} × "
        f"{'×'.join(str(n) for n in recording.shape)}, {recording.kind} readout, "
        f"{len(plan.samples)} of {len(recording)} samples; sessions: {sessions}",
        soft_wrap=True,
    )
    console.print(
        "Four models learn from the same stream: learned; fixed (the same, its wavelets and "
        "structure left alone); linear (the raw window); mean.",
        soft_wrap=True,
    )
    for note in recording.notes:
        console.print(f"  {note}", markup=False, soft_wrap=True)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM stops the demo as Ctrl-C does, service included."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _settings(models: Sequence[ModelSpec], state: Path) -> dict[str, Any]:
    """One thread a model: with four models learning at once, more would get in each other's way."""
    return {
        "server": {"host": "127.0.0.1", "port": 0},
        "metrics": {"host": "127.0.0.1", "port": 0},
        "storage": {"directory": str(state)},
        "threads": 1,
        "models": [spec.to_dict() for spec in models],
    }


def _experiment(console: Console, plan: Plan) -> Result:
    """Starts the service, streams, asks for the outcome and stops the service.

    The state of a demo is of no use to a later one, so it goes with the scratch folder.
    """
    with tempfile.TemporaryDirectory(prefix="scatonline-demo-") as scratch:
        settings = _settings(plan.models, Path(scratch) / "state")
        with ServiceProcess(settings, plan.out, Path(scratch)) as process:
            with console.status("starting the service"):
                process.wait_until_ready()
            console.print(
                f"service {process.pid} at {process.grpc_target}, {process.metrics_url}",
                soft_wrap=True,
            )
            try:
                with Client(process.grpc_target) as client:
                    return _observe(console, client, process, plan)
            except ClientError as error:
                process.ends_within(DEATH_S)
                what = "the service refused" if process.alive else "the service died"
                raise DemoError(f"{what}: {error}\n{process.last_words()}") from error


def _observe(console: Console, client: Client, process: ServiceProcess, plan: Plan) -> Result:
    ledgers = {spec.name: Ledger() for spec in plan.models}
    before = client.filters(LEARNED).filters
    began_s = time.monotonic()
    ending = _stream(console, client, process, plan, ledgers)
    elapsed_s = time.monotonic() - began_s
    status = client.status([LEARNED]).models[LEARNED]
    return Result(
        recording=plan.recording,
        wanted=len(plan.samples),
        elapsed_s=elapsed_s,
        ledgers=ledgers,
        before=before,
        after=client.filters(LEARNED).filters,
        status=status,
        moves=_placed(status.moves, ledgers[LEARNED]),
        metrics=check_metrics(process.metrics_url, LEARNED),
        ending=ending,
    )


def _stream(
    console: Console,
    client: Client,
    process: ServiceProcess,
    plan: Plan,
    ledgers: Mapping[str, Ledger],
) -> Ending:
    """Streams to all models at once until the end, the time limit or Ctrl-C.

    Raises:
        ClientError: the service refused a request or is gone.
    """
    halt = threading.Event()
    outputs = dict(plan.recording.sessions)
    with (
        ThreadPoolExecutor(len(ledgers), thread_name_prefix="stream") as pool,
        Client(process.grpc_target) as connection,
        Display(console, plan.recording.kind, len(plan.samples), ledgers) as display,
    ):
        streams: list[Future[None]] = []
        try:
            for model, ledger in ledgers.items():
                arguments = (connection, model, outputs, plan.samples, ledger, halt)
                streams.append(pool.submit(stream_samples, *arguments))
            whole = _watch(client, display, ledgers[LEARNED], streams, plan.limit_s)
            return "whole" if whole else "time"
        except KeyboardInterrupt:
            console.print("stopping …")
            return "interrupted"
        finally:
            halt.set()
            # One that is still waiting after this ends with its connection.
            wait(streams, HALT_S)


def _watch(
    client: Client,
    display: Display,
    ledger: Ledger,
    streams: Sequence["Future[None]"],
    limit_s: float,
) -> bool:
    """Keeps the display current until all streams have ended (True) or time is up (False).

    Raises:
        ClientError: one of them failed.
    """
    deadline_s = time.monotonic() + limit_s
    told = 0
    running = set(streams)
    while running and time.monotonic() < deadline_s:
        done, running = wait(running, REFRESH_S, FIRST_EXCEPTION)
        for stream in done:
            stream.result()
        moves = client.status([LEARNED]).models[LEARNED].moves
        display.moved(_placed(moves[told:], ledger))
        told = len(moves)
        display.update()
    return not running


def _placed(moves: Sequence[Move], ledger: Ledger) -> list[tuple[Move, int]]:
    return [(move, ledger.sample_of(move.event)) for move in moves]


def _conclude(console: Console, plan: Plan, result: Result) -> None:
    """Writes the files and tells the result."""
    filters, score, told = (plan.out / n for n in ("filters.png", "score.png", "summary.json"))
    with console.status("drawing"):
        learned = plan.models[0]
        save_filters(filters, learned, result.before, result.after, plan.recording.rate_hz)
        scored = save_scores(score, plan.recording, result.ledgers, result.moves)
        files = [filters, *([score] if scored else []), told]
        files += [plan.out / name for name in ("settings.yaml", "service.log")]
        summary = Summary.of(result)
        save_summary(told, summary, files)
    print_summary(console, summary, files)
