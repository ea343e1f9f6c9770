"""Each part starts servers of its own and gives rows of figures."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.service import cases, echo, load, processes
from scatonline.config import ModelSpec
from scatonline.model import Model
from scatonline.sample import Sample
from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc as rpc

FRAME_S = 1 / 60


@dataclass(frozen=True)
class Figure:
    """One measured number and the goal that it is held against.

    Attributes:
        name: What was measured.
        value: The number.
        unit: Its unit.
        goal: `≤ x` or `≥ x`; empty where there is none.
        met: Whether it is.
    """

    name: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None


def at_most(name: str, value: float, unit: str, goal: float) -> Figure:
    """A figure that should be small."""
    return Figure(name, float(value), unit, f"≤ {goal:g}", bool(value <= goal))


def at_least(name: str, value: float, unit: str, goal: float) -> Figure:
    """A figure that should be large."""
    return Figure(name, float(value), unit, f"≥ {goal:g}", bool(value >= goal))


def predict_overhead(quick: bool) -> list[Figure]:
    """One prediction at a time: what it takes beyond the model's own forward.

    A forward that follows another one finds its memory in the processor's cache, which a request
    does not. So predictions, echoes and forwards take turns, and forwards one after the other are
    told beside.
    """
    model, units, rounds, count = cases.MOVIE, 64, 3 if quick else 7, 150
    torch.set_num_threads(1)
    own = Model(ModelSpec.from_dict(model))
    own.open_session(cases.SESSION, cases.outputs(units))
    for number in range(80):
        x = cases.frame(model, number)
        own.step(Sample(str(number), cases.SESSION, x, cases.counts(number, x, units)))
    reader = own.reader()
    frames = [cases.frame(model, number) for number in range(count)]

    def forward_s(x: NDArray[np.float32]) -> float:
        started_s = time.perf_counter()
        reader.predict(cases.SESSION, x)
        return time.perf_counter() - started_s

    async def measure(server: processes.Server, bare: processes.Server) -> list[Any]:
        async with (
            grpc.aio.insecure_channel(server.address) as channel,
            grpc.aio.insecure_channel(bare.address) as beside,
        ):
            await rpc.ScatOnlineStub(channel).OpenSession(cases.open_session(model, units))
            send = load.sender(channel, cases.UPDATE)
            await load.closed(send, [cases.update(model, n, units) for n in range(80)], 1)
            requests = [cases.predict(model, number) for number in range(count)]
            through = load.sender(channel, cases.PREDICT)
            back = load.sender(beside, echo.METHOD)
            found = []
            for _ in range(rounds):
                warm = [forward_s(x) for x in frames]
                for x, request, own_s in zip(frames, requests, warm, strict=True):
                    predicted = await load.closed(through, [request], 1)
                    echoed = await load.closed(back, [request], 1)
                    found.append((own_s, forward_s(x), predicted.seconds[0], echoed.seconds[0]))
            return found

    with (
        _folder() as folder,
        processes.echo(folder) as bare,
        processes.scatonline(folder, model) as server,
    ):
        found = asyncio.run(measure(server, bare))
    times = 1e3 * np.array(found)
    warm, forward, through, back = np.median(times, 0)
    high = np.percentile(times, 99, 0)
    return [
        Figure("forwards one after the other, p50", warm, "ms"),
        Figure("forward in its turn, p50", forward, "ms"),
        Figure("echo in its turn, p50", back, "ms"),
        at_most("predict beyond forward, p50", through - forward, "ms", 1.0),
        at_most("predict beyond forward, p99", high[2] - high[1], "ms", 3.0),
    ]


def durable_updates(quick: bool) -> list[Figure]:
    """64 updates in flight, each answered when it is on disk, against as many echoes."""
    fixed = _updates(cases.SMALL_FIXED, quick)
    share = fixed["share"]
    learning = _updates(cases.SMALL, quick)
    return [
        Figure("durable updates, 64 in flight, filters fixed", fixed["rate"], "1/s"),
        Figure("echoes, 64 in flight", fixed["echoes"], "1/s"),
        at_least("updates ÷ echoes, filters fixed", share, "", 0.5),
        Figure("the same, ÷ echoes on asyncio's own loop", fixed["plain_share"], ""),
        Figure("the model's own step, alone", 1e3 * fixed["step_s"], "ms"),
        Figure("the same, 32 that waited", 1e3 * fixed["together_s"], "ms"),
        Figure("of an update: that", 100 * fixed["together_s"] * fixed["rate"], "%"),
        Figure("of an update: the event loop's processor time", 1e3 * fixed["loop_s"], "ms"),
        Figure("of an update: the writer's", 1e3 * fixed["writer_s"], "ms"),
        Figure("of an update: the client's", 1e3 * fixed["client_s"], "ms"),
        Figure("of an echo: the event loop's", 1e3 * fixed["echo_s"], "ms"),
        Figure("updates ÷ echoes, θ learned", learning["share"], ""),
        Figure(
            "of an update: the step, θ learned",
            100 * learning["together_s"] * learning["rate"],
            "%",
        ),
        Figure("events a flush", fixed["events"], ""),
        Figure("flush, mean", fixed["flush_s"] * 1e3, "ms"),
        Figure("refused", fixed["refused"] + learning["refused"], ""),
    ]


def _updates(model: dict[str, Any], quick: bool) -> dict[str, float]:
    units, rounds, count = 8, 2 if quick else 5, 600 if quick else 1500

    async def measure(
        server: processes.Server, bare: processes.Server, plain: processes.Server
    ) -> tuple[list[tuple[load.Times, load.Times, load.Times]], NDArray[np.float64]]:
        async with (
            grpc.aio.insecure_channel(server.address) as channel,
            grpc.aio.insecure_channel(bare.address) as beside,
            grpc.aio.insecure_channel(plain.address) as besides,
        ):
            await rpc.ScatOnlineStub(channel).OpenSession(cases.open_session(model, units))
            send = load.sender(channel, cases.UPDATE)
            back, plainly = load.sender(beside, echo.METHOD), load.sender(besides, echo.METHOD)
            await load.closed(send, [cases.update(model, n, units) for n in range(200)], 16)
            found = []
            spent = {send: np.zeros(4), back: np.zeros(4)}

            def computed() -> NDArray[np.float64]:
                return np.array([*server.computed_s(), time.process_time(), bare.computed_s()[0]])

            for number in range(rounds):
                first = 1000 + number * (count + 200)
                requests = [cases.update(model, first + n, units) for n in range(count + 200)]
                each = []
                for one in (send, back, plainly):
                    # So that it does not matter who was asked before.
                    await load.closed(one, requests[:200], 64)
                    before = computed()
                    each.append(await load.closed(one, requests[200:], 64))
                    if one is not plainly:
                        spent[one] += (computed() - before) / (rounds * count)
                found.append((each[0], each[1], each[2]))
            return found, np.array([*spent[send][:3], spent[back][3]])

    with (
        _folder() as folder,
        processes.echo(folder) as bare,
        processes.echo(folder, "asyncio") as plain,
        processes.scatonline(folder, model) as server,
    ):
        found, spent = asyncio.run(measure(server, bare, plain))
        flushes = server.metric("scatonline_journal_flush_seconds_count")
        flush_s = server.metric("scatonline_journal_flush_seconds_sum") / flushes
        events = server.metric("scatonline_journal_batch_events_sum") / flushes
    return {
        "rate": float(np.median([ours.rate for ours, _, _ in found])),
        "echoes": float(np.median([bare.rate for _, bare, _ in found])),
        "share": float(np.median([ours.rate / bare.rate for ours, bare, _ in found])),
        "plain_share": float(np.median([ours.rate / plain.rate for ours, _, plain in found])),
        **dict(zip(("loop_s", "writer_s", "client_s", "echo_s"), spent.tolist(), strict=True)),
        "step_s": _own_step_s(model, units),
        "together_s": _own_step_s(model, units, together=32),
        "events": events,
        "flush_s": flush_s,
        "refused": float(sum(sum(ours.failures.values()) for ours, _, _ in found)),
    }


def _own_step_s(model: dict[str, Any], units: int, together: int = 1) -> float:
    """Median seconds of the model's own step, without a service around it.

    Args:
        model: Its specification.
        units: Number of outputs.
        together: Samples that wait, and are looked at ahead.
    """
    torch.set_num_threads(1)
    own = Model(ModelSpec.from_dict(model))
    own.open_session(cases.SESSION, cases.outputs(units))
    seconds = []
    for first in range(0, 416, together):
        inputs = {number: cases.frame(model, number) for number in range(first, first + together)}
        samples = [
            Sample(str(number), cases.SESSION, x, cases.counts(number, x, units))
            for number, x in inputs.items()
        ]
        started_s = time.perf_counter()
        if together > 1:
            own.look_ahead(samples)
        for sample in samples:
            own.step(sample)
        seconds.append((time.perf_counter() - started_s) / together)
    return float(np.median(seconds[len(seconds) // 2 :]))


def sixty_hertz(quick: bool) -> list[Figure]:
    """A movie at 60 Hz, learned with θ at every frame, while another client predicts at 60 Hz.

    Once each frame is answered before it is learned from, once after.
    """
    early = _sixty_hertz(quick, early=True)
    after = _sixty_hertz(quick, early=False)
    own_s = _own_step_s(cases.MOVIE, 64)
    refused = early.pop("refused") + after.pop("refused")
    return [
        at_least("outcomes inside 16.7 ms, answered early", early.pop("inside"), "%", 99.9),
        *(Figure(f"{name}, answered early", value, "ms") for name, value in early.items()),
        Figure("outcomes inside 16.7 ms, answered after learning", after.pop("inside"), "%"),
        *(Figure(f"{name}, after learning", value, "ms") for name, value in after.items()),
        Figure("the model's own step, median", 1e3 * own_s, "ms"),
        Figure("refused", refused, ""),
    ]


def _sixty_hertz(quick: bool, *, early: bool) -> dict[str, float]:
    """Percentage of outcomes in time, and milliseconds of other figures, by name."""
    model, units, count = cases.MOVIE, 64, 60 * (10 if quick else 60)
    warm = 120

    async def measure(server: processes.Server) -> tuple[load.Times, load.Times, float, float]:
        async with (
            grpc.aio.insecure_channel(server.address) as channel,
            grpc.aio.insecure_channel(server.address) as other,
        ):
            await rpc.ScatOnlineStub(channel).OpenSession(cases.open_session(model, units))
            send, ask = load.sender(channel, cases.UPDATE), load.sender(other, cases.PREDICT)
            await load.closed(send, [cases.update(model, n, units) for n in range(warm)], 1)
            frames = [cases.update(model, warm + n, units, early=early) for n in range(count)]
            asked = [cases.predict(model, n) for n in range(count)]
            _, before_s = server.computed_s()
            both = await asyncio.gather(
                load.paced(send, frames, 60.0), load.paced(ask, asked, 60.0)
            )
            ended_s = time.perf_counter()
            # The session's opening is an event, too.
            await ask(cases.predict(model, 0, at_least_event=1 + warm + count))
            behind_s = time.perf_counter() - ended_s
            return both[0], both[1], behind_s, (server.computed_s()[1] - before_s) / count

    with _folder() as folder, processes.scatonline(folder, model) as server:
        updates, predictions, behind_s, writer_s = asyncio.run(measure(server))
        flush_s = server.metric("scatonline_journal_flush_seconds_sum") / server.metric(
            "scatonline_journal_flush_seconds_count"
        )
    return {
        "inside": 100.0 * float((updates.seconds <= FRAME_S).sum()) / count,
        "outcome, p50": updates.ms(50),
        "outcome, p99": updates.ms(99),
        "outcome, longest": updates.ms(100),
        "prediction, p50": predictions.ms(50),
        "prediction, p99": predictions.ms(99),
        "flush, mean": flush_s * 1e3,
        "learning behind the last outcome": behind_s * 1e3,
        "of a frame: the writer's processor time": writer_s * 1e3,
        "refused": float(sum((updates.failures | predictions.failures).values())),
    }


def recovery(quick: bool) -> list[Figure]:
    """A server that is killed, and what its successor needs."""
    count = 1000 if quick else 4000
    fixed, learning = (_replayed(m, count) for m in (cases.SMALL_FIXED, cases.SMALL))
    return [
        Figure("records to replay", count + 1, ""),
        at_least("replayed, filters fixed", fixed[0], "1/s", 1000.0),
        Figure("replayed, θ learned", learning[0], "1/s"),
        at_most("start to ready, nothing to replay", fixed[1], "s", 5.0),
    ]


def _replayed(model: dict[str, Any], count: int) -> tuple[float, float]:
    """Records replayed a second, and seconds that a start without any takes."""
    units = 8

    async def fill(server: processes.Server) -> None:
        async with grpc.aio.insecure_channel(server.address) as channel:
            await rpc.ScatOnlineStub(channel).OpenSession(cases.open_session(model, units))
            send = load.sender(channel, cases.UPDATE)
            await load.closed(send, [cases.update(model, n, units) for n in range(count)], 64)

    with _folder() as folder:
        with processes.scatonline(folder, model) as first:
            asyncio.run(fill(first))
            first.kill()
        with processes.scatonline(folder, model) as second:
            replayed = second.metric("scatonline_journal_replayed_total")
            seconds = second.metric("scatonline_recovery_seconds")
        with processes.scatonline(folder, model) as third:
            return replayed / seconds, third.start_s


def quiet_learning(quick: bool) -> list[Figure]:
    """Predictions alone, beside learning, and beside a structure check, in turns."""
    model, units = {**cases.MOVIE, "learning": {"warmup": 64}}, 64
    rounds, count = 2 if quick else 4, 200

    async def measure(server: processes.Server) -> dict[str, load.Times]:
        async with (
            grpc.aio.insecure_channel(server.address) as channel,
            grpc.aio.insecure_channel(server.address) as other,
        ):
            stub = rpc.ScatOnlineStub(channel)
            await stub.OpenSession(cases.open_session(model, units))
            send, ask = load.sender(channel, cases.UPDATE), load.sender(other, cases.PREDICT)
            await load.closed(send, [cases.update(model, n, units) for n in range(520)], 4)
            asked = [cases.predict(model, n) for n in range(count)]
            check = pb.CheckStructureRequest(model=model["name"])
            # The process of checks starts with the first of them.
            await stub.CheckStructure(check, timeout=600)
            found: dict[str, list[load.Times]] = {"quiet": [], "learning": [], "check": []}
            for turn in range(rounds):
                found["quiet"].append(await load.paced(ask, asked, 60.0))
                first = 1000 + turn * count
                frames = [cases.update(model, first + n, units) for n in range(count // 2)]
                beside, _ = await asyncio.gather(
                    load.paced(ask, asked, 60.0), load.paced(send, frames, 30.0)
                )
                found["learning"].append(beside)
                checking = asyncio.ensure_future(stub.CheckStructure(check, timeout=600))
                while not checking.done():
                    found["check"].append(await load.paced(ask, asked[:30], 60.0))
                await checking
            return {
                name: load.Times(np.concatenate([t.seconds for t in times]), 1.0, {})
                for name, times in found.items()
            }

    with _folder() as folder, processes.scatonline(folder, model) as server:
        found = asyncio.run(measure(server))
    quiet = found["quiet"].ms(99)
    return [
        Figure("prediction alone, p50", found["quiet"].ms(50), "ms"),
        Figure("prediction alone, p99", quiet, "ms"),
        at_most("beside learning, p99 ÷ alone", found["learning"].ms(99) / quiet, "", 2.0),
        at_most("beside a structure check, p99 ÷ alone", found["check"].ms(99) / quiet, "", 2.0),
        Figure("predictions beside the check", len(found["check"].seconds), ""),
    ]


PARTS: dict[str, Callable[[bool], list[Figure]]] = {
    "predict": predict_overhead,
    "updates": durable_updates,
    "sixty": sixty_hertz,
    "recovery": recovery,
    "quiet": quiet_learning,
}


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is gone at the end."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
