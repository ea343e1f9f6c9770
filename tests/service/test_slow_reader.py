"""A client that does not read its stream costs little and holds nobody up."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import Client
from service.wire import to_tensor
from tests.service.running import ENCODER, ServerProcess, server_process, settings_values

# Replies of 64 kB each, so that what is not read would soon add up.
OUTPUTS = [f"unit-{number}" for number in range(16_000)]
WAVE = np.zeros((1, 64), dtype=np.float32)


def resident_bytes(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def median_s(client: Client, count: int = 60) -> float:
    seconds = []
    for _ in range(count):
        started_s = time.perf_counter()
        client.predict("small", "day-1", WAVE)
        seconds.append(time.perf_counter() - started_s)
    return float(np.median(seconds))


@pytest.mark.slow
def test_a_stream_that_nobody_reads_is_held_back(tmp_path: Path) -> None:
    wide = {**ENCODER, "structure": {"enabled": False, "window": 32}, "name": "wide"}
    values = settings_values(tmp_path, wide, {**ENCODER, "name": "small"})
    sent = 0
    stop = threading.Event()

    def requests() -> Iterator[pb.StreamRequest]:
        nonlocal sent
        predict = pb.PredictRequest(model="wide", session="day-1", input=to_tensor(WAVE))
        while not stop.is_set():
            sent += 1
            yield pb.StreamRequest(number=sent, predict=predict)

    with server_process(tmp_path, values) as server, Client(server.address) as client:
        client.open_session("wide", "day-1", OUTPUTS)
        client.open_session("small", "day-1", ["unit-1", "unit-2"])
        for _ in range(50):
            client.predict("wide", "day-1", WAVE)
        quiet_s = median_s(client)
        before = resident_bytes(server)
        with grpc.insecure_channel(server.address) as channel:
            stub = scatonline_pb2_grpc.ScatOnlineStub(channel)
            replies = stub.Stream(requests())
            next(iter(replies))
            # Until the transport takes nothing more: then the client is held back.
            seen, deadline_s = -1, time.monotonic() + 60
            while sent != seen:
                assert time.monotonic() < deadline_s, "the stream was never held back"
                seen = sent
                time.sleep(1.0)
            grown = resident_bytes(server) - before
            beside_s = median_s(client)
            replies.cancel()  # type: ignore[no-untyped-call]
            stop.set()
    assert grown <= 16 * 2**20, f"{grown / 2**20:.1f} MiB for a stream that nobody reads"
    assert beside_s <= 2 * quiet_s + 0.005
