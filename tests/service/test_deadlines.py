"""A call whose deadline passes before its turn has come changes nothing, wherever it waits."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from scatonline.reader import Reader
from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import Client
from service.engine import SampleArrived
from service.engine.models import Models
from service.engine.saver import CheckpointSaver
from service.wire import to_tensor
from tests.service.running import (
    ENCODER,
    LocalService,
    counts,
    eventually,
    local_service,
    settings_values,
    waveform,
)
from tests.service.test_bounds import paused, predict, update

DEADLINE_S = 0.5


class Held:
    """A method that lets nobody through until it is told to.

    Attributes:
        calls: How often it was called.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self.calls = 0
        self.reached = threading.Event()
        self.released = threading.Event()
        self._method = method

    def through(self, *args: Any) -> Any:
        """In place of the method."""
        self.calls += 1
        self.reached.set()
        assert self.released.wait(30)
        return self._method(*args)


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[type, str], Held]]:
    """Holds a method of a class; lets go of all at the end."""
    held: list[Held] = []

    def hold(owner: type, name: str) -> Held:
        one = Held(getattr(owner, name))

        # A function, which becomes a method of each object.
        def through(*args: Any) -> Any:
            return one.through(*args)

        monkeypatch.setattr(owner, name, through)
        held.append(one)
        return one

    yield hold
    for one in held:
        one.released.set()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[LocalService, Client, Any]]:
    """A service with little room, a client of it with an open session, and a bare stub."""
    values = settings_values(tmp_path, ENCODER, limits={"queue_depth": 8})
    with local_service(values) as (service, client):
        client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
        client.update("encoder", "day-1", "waits", waveform(100))
        with grpc.insecure_channel(service.address, [("grpc.enable_retries", 0)]) as channel:
            yield service, client, scatonline_pb2_grpc.ScatOnlineStub(channel)


def state(client: Client) -> tuple[int, int, str]:
    """What any change of the model would change."""
    model = client.status(include_state_hash=True).models["encoder"]
    return model.event, model.journal_record, model.state_hash


def assert_too_late(service: LocalService, *calls: Any, beside: int = 0) -> None:
    """Their deadlines pass, at the service too, which then has so many other calls."""
    for call in calls:
        with pytest.raises(grpc.RpcError) as refused:
            call.result(20)
        assert refused.value.code() is StatusCode.DEADLINE_EXCEEDED
    eventually(lambda: service.app._rpc._servicer._open_calls == beside)


LABEL = pb.LabelRequest(
    model="encoder",
    session="day-1",
    sample_id="waits",
    target=pb.Target(values=to_tensor(counts(0))),
)
CHANGES = {
    "Update": update(0),
    "Label": LABEL,
    "OpenSession": pb.OpenSessionRequest(model="encoder", session="day-2", outputs=["a"]),
    "Freeze": pb.FreezeRequest(model="encoder"),
}


@pytest.mark.parametrize("method", CHANGES)
def test_in_the_queue(served: tuple[LocalService, Client, Any], method: str) -> None:
    service, client, stub = served
    before = state(client)
    with paused(service):
        assert_too_late(service, getattr(stub, method).future(CHANGES[method], timeout=DEADLINE_S))
    # The pause itself is an event that is stored, and changes nothing.
    assert state(client) == (before[0], before[1] + 1, before[2])
    status = client.status().models["encoder"]
    assert not status.frozen
    assert list(status.sessions) == ["day-1"]


def test_of_an_import_in_the_queue(served: tuple[LocalService, Client, Any]) -> None:
    service, client, stub = served
    exported = io.BytesIO()
    client.export_model("encoder", exported)
    before = state(client)
    request = pb.ImportModelRequest(model="encoder", replace=True, data=exported.getvalue())
    with paused(service):
        assert_too_late(service, stub.ImportModel.future(iter([request]), timeout=DEADLINE_S))
    assert state(client) == (before[0], before[1] + 1, before[2])


def test_in_a_stream(served: tuple[LocalService, Client, Any]) -> None:
    service, client, stub = served
    before = state(client)
    over = threading.Event()

    def requests() -> Iterator[pb.StreamRequest]:
        for number in range(3):
            yield pb.StreamRequest(number=number, update=update(number))
        over.wait(30)

    with paused(service):
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.Stream(requests(), timeout=DEADLINE_S))
        assert refused.value.code() is StatusCode.DEADLINE_EXCEEDED
        assert_too_late(service)
    over.set()
    assert state(client) == (before[0], before[1] + 1, before[2])


def test_while_it_is_checked(
    served: tuple[LocalService, Client, Any], hold: Callable[[type, str], Held]
) -> None:
    service, client, stub = served
    before = state(client)
    checking = hold(SampleArrived, "check")
    assert_too_late(service, stub.Update.future(update(0), timeout=DEADLINE_S))
    assert checking.calls == 1
    checking.released.set()
    assert state(client) == before


def test_while_a_checkpoint_is_read_to_go_back_to(
    served: tuple[LocalService, Client, Any], hold: Callable[[type, str], Held]
) -> None:
    service, client, stub = served
    kept = client.checkpoints("encoder")[0].event
    before = state(client)
    reading = hold(CheckpointSaver, "load")
    request = pb.RollbackRequest(model="encoder", to_event=kept)
    assert_too_late(service, stub.Rollback.future(request, timeout=DEADLINE_S))
    assert reading.calls == 1
    reading.released.set()
    # Through the same door, and so after it.
    assert client.update("encoder", "day-1", "next", waveform(1), counts(1)).event == before[0] + 1


def test_behind_another_change_of_the_models(
    served: tuple[LocalService, Client, Any], hold: Callable[[type, str], Held]
) -> None:
    service, client, stub = served

    def create(name: str, timeout_s: float) -> Any:
        specification = json.dumps({**ENCODER, "name": name})
        request = pb.CreateModelRequest(specification=specification)
        return stub.CreateModel.future(request, timeout=timeout_s)

    making = hold(Models, "create")
    first = create("first", 30)
    assert making.reached.wait(10)
    assert_too_late(service, create("second", DEADLINE_S), beside=1)
    delete = pb.DeleteModelRequest(model="first", confirm="first")
    assert_too_late(service, stub.DeleteModel.future(delete, timeout=DEADLINE_S), beside=1)
    making.released.set()
    assert first.result(30).model == "first"
    assert create("third", 30).result(30).model == "third"
    assert client.models() == ("encoder", "first", "third")
    assert making.calls == 2


def test_while_it_waits_for_an_event(served: tuple[LocalService, Client, Any]) -> None:
    service, client, stub = served
    engine = service.app.models.engine("encoder")
    waits = [stub.Predict.future(predict(10**6), timeout=DEADLINE_S) for _ in range(8)]
    assert_too_late(service, *waits)
    # Its room is free again.
    eventually(lambda: not engine._waiting._waiting)
    assert client.predict("encoder", "day-1", waveform(0)).values.shape == (2,)


def test_while_it_is_predicted_and_behind_those_that_are(
    served: tuple[LocalService, Client, Any], hold: Callable[[type, str], Held]
) -> None:
    service, client, stub = served
    predicting = hold(Reader, "predict")
    calls = [stub.Predict.future(predict(), timeout=DEADLINE_S) for _ in range(8)]
    assert_too_late(service, *calls)
    begun = predicting.calls
    predicting.released.set()
    assert client.predict("encoder", "day-1", waveform(0)).values.shape == (2,)
    # Two threads predict; what waited for them was not begun.
    assert (begun, predicting.calls) == (2, 3)
