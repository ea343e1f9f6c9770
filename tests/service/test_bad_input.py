"""Bad input is refused with its code and a sentence, and leaves the model's state as it was."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import Client, ClientError
from service.wire import to_tensor
from tests.service.running import LocalService, counts, local_service, settings_values, waveform

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
EXISTS = grpc.StatusCode.ALREADY_EXISTS


@dataclass(frozen=True)
class Case:
    """A request that must be refused: how it is made, the code and what the sentence says."""

    name: str
    request: Callable[[Client], Any]
    code: grpc.StatusCode
    says: tuple[str, ...]


def update(
    x: Any = None,
    target: Any = (1, 1),
    *,
    model: str = "encoder",
    session: str = "day-1",
    sample: str = "new",
) -> Callable[[Client], Any]:
    x = waveform(0) if x is None else x
    return lambda client: client.update(model, session, sample, x, target)


def predict(x: Any, model: str = "encoder", session: str = "day-1") -> Callable[[Client], Any]:
    return lambda client: client.predict(model, session, x)


def label(
    sample: str, target: Any, model: str = "encoder", session: str = "day-1"
) -> Callable[[Client], Any]:
    return lambda client: client.label(model, session, sample, target)


def spoiled(value: float) -> Any:
    x = waveform(0)
    x[0, 3] = value
    return x


CASES = [
    Case("update: too short", update(waveform(0)[:, :63]), INVALID, ("(1, 63)", "(1, 64)")),
    Case("update: no channel axis", update(waveform(0)[0]), INVALID, ("(64,)", "(1, 64)")),
    Case("update: too many channels", update(waveform(0, 2)), INVALID, ("(2, 64)", "(1, 64)")),
    Case("update: NaN", update(spoiled(np.nan)), INVALID, ("finite",)),
    Case("update: infinite", update(spoiled(np.inf)), INVALID, ("finite",)),
    Case("update: beyond float32", update(np.full((1, 64), 1e300)), INVALID, ("finite",)),
    Case("update: dtype", update(np.zeros((1, 64), np.int64)), INVALID, ("int64", "float32")),
    Case("update: model", update(model="other"), NOT_FOUND, ("'other'", "decoder, encoder")),
    Case("update: session", update(session="day-9"), NOT_FOUND, ("day-9", "day-1")),
    Case("update: empty sample id", update(sample=""), INVALID, ("sample_id", "1 to 256")),
    Case("update: long sample id", update(sample="é" * 129), INVALID, ("258 bytes", "1 to 256")),
    Case("update: sample id again", update(sample="known"), EXISTS, ("known",)),
    Case("update: target length", update(target=(1, 2, 3)), INVALID, ("(3,)", "(2,)")),
    Case("update: target axes", update(target=((1, 2),)), INVALID, ("(1, 2)", "(2,)")),
    Case("update: infinite target", update(target=(np.inf, 1)), INVALID, ("finite",)),
    Case("update: negative count", update(target=(-1, 1)), INVALID, ("-1",)),
    Case("update: class for values", update(target="unit-1"), INVALID, ("'unit-1'", "poisson")),
    Case(
        "update: class name",
        update(waveform(0, 2, 32), "wave", model="decoder"),
        INVALID,
        ("'wave'", "rest, fist, point"),
    ),
    Case(
        "update: class name in an unknown session",
        update(waveform(0, 2, 32), "rest", model="decoder", session="day-9"),
        NOT_FOUND,
        ("day-9", "day-1"),
    ),
    Case(
        "update: not one-hot",
        update(waveform(0, 2, 32), (0.5, 0.5, 0), model="decoder"),
        INVALID,
        ("one",),
    ),
    Case(
        "update: no class known",
        update(waveform(0, 2, 32), (0, np.nan, 1), model="decoder"),
        INVALID,
        ("one",),
    ),
    Case("predict: shape", predict(waveform(0)[:, :10]), INVALID, ("(1, 10)", "(1, 64)")),
    Case("predict: NaN", predict(spoiled(np.nan)), INVALID, ("finite",)),
    Case("predict: model", predict(waveform(0), "other"), NOT_FOUND, ("decoder, encoder",)),
    Case("predict: session", predict(waveform(0), session="day-9"), NOT_FOUND, ("day-9",)),
    Case("label: sample", label("never-sent", (1, 1)), NOT_FOUND, ("never-sent",)),
    Case("label: session", label("waiting", (1, 1), session="day-9"), NOT_FOUND, ("day-9",)),
    Case("label: model", label("waiting", (1, 1), "other"), NOT_FOUND, ("decoder, encoder",)),
    Case("label: labelled already", label("known", (1, 1)), EXISTS, ("known",)),
    Case("label: length", label("waiting", (1,)), INVALID, ("(1,)", "(2,)")),
    Case("label: infinite", label("waiting", (np.inf, 1)), INVALID, ("finite",)),
    Case(
        "open: other outputs",
        lambda client: client.open_session("encoder", "day-1", ["unit-1"]),
        EXISTS,
        ("day-1",),
    ),
    Case(
        "open: no outputs",
        lambda client: client.open_session("encoder", "day-2", []),
        INVALID,
        ("outputs", "got none"),
    ),
    Case(
        "open: an output twice",
        lambda client: client.open_session("encoder", "day-2", ["a", "a"]),
        INVALID,
        ("'a' twice", "distinct"),
    ),
    Case(
        "open: model",
        lambda client: client.open_session("other", "day-1", ["a"]),
        NOT_FOUND,
        ("decoder, encoder",),
    ),
    Case("filters: model", lambda client: client.filters("other"), NOT_FOUND, ("decoder",)),
    Case("status: model", lambda client: client.status(["other"]), NOT_FOUND, ("decoder",)),
    Case("check: model", lambda client: client.check_structure("other"), NOT_FOUND, ("decoder",)),
    Case(
        "check: window too short",
        lambda client: client.check_structure("encoder"),
        grpc.StatusCode.FAILED_PRECONDITION,
        ("encoder",),
    ),
]


def hashes(client: Client) -> dict[str, str]:
    status = client.status(include_state_hash=True)
    return {name: model.state_hash for name, model in status.models.items()}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalService, Client]]:
    """One service for the whole table: nothing in it may change anything."""
    values = settings_values(tmp_path_factory.mktemp("shared"))
    with local_service(values) as (service, client):
        client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
        client.open_session("decoder", "day-1", ["rest", "fist", "point"])
        client.update("encoder", "day-1", "known", waveform(1), counts(1))
        client.update("encoder", "day-1", "waiting", waveform(2))
        yield service, client


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_refused_and_changes_nothing(shared: tuple[LocalService, Client], case: Case) -> None:
    client = shared[1]
    before = hashes(client)
    with pytest.raises(ClientError) as refused:
        case.request(client)
    assert refused.value.code == case.code
    for words in case.says:
        assert words in refused.value.message
    assert hashes(client) == before
    assert before["encoder"] != before["decoder"]


def test_a_good_request_does_change_the_state(client: Client) -> None:
    before = hashes(client)
    client.update("encoder", "day-1", "known", waveform(1), counts(1))
    assert hashes(client)["encoder"] != before["encoder"]
    assert hashes(client)["decoder"] == before["decoder"]


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (
            pb.UpdateRequest(
                model="encoder",
                session="day-1",
                sample_id="raw",
                input=pb.Tensor(data=b"\0" * 255, dtype=pb.DTYPE_FLOAT32, shape=[1, 64]),
            ),
            "input: got 255 bytes, expected 256 for shape (1, 64) of float32",
        ),
        (
            pb.UpdateRequest(
                model="encoder",
                session="day-1",
                sample_id="raw",
                input=pb.Tensor(data=b"\0" * 256, shape=[1, 64]),
            ),
            "input: got dtype number 0, expected one of float32",
        ),
        (
            pb.UpdateRequest(
                model="encoder",
                session="day-1",
                sample_id="raw",
                input=to_tensor(waveform(0)),
                target=pb.Target(),
            ),
            "target: got nothing, expected values or class_name",
        ),
    ],
)
def test_a_malformed_message_is_refused(
    shared: tuple[LocalService, Client], request_: pb.UpdateRequest, says: str
) -> None:
    service, client = shared
    before = hashes(client)
    with grpc.insecure_channel(service.address) as channel:
        stub = scatonline_pb2_grpc.ScatOnlineStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Update(request_, timeout=10)
    assert refused.value.code() == INVALID
    assert says in (refused.value.details() or "")
    assert hashes(client) == before


def test_an_unexpected_error_keeps_its_detail_out_of_the_reply(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def burst(*_: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("scatonline.model.Model.step", burst)
    with pytest.raises(ClientError, match=r"internal error [0-9a-f]{12}") as refused:
        client.update("encoder", "day-1", "new", waveform(0), counts(0))
    assert refused.value.code == grpc.StatusCode.INTERNAL
    assert "secret" not in refused.value.message
    log = capsys.readouterr().out
    incident = refused.value.message.split()[2].rstrip(":")
    assert incident in log
    assert "secret detail" in log


def test_a_message_that_is_too_large_is_refused(client: Client) -> None:
    with pytest.raises(ClientError) as refused:
        client.predict("encoder", "day-1", np.zeros((1, 2**24), np.float64))
    assert refused.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
