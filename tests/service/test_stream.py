"""The stream answers every request under its number and survives the refused ones."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import Client, ClientError
from tests.service.running import (
    ENCODER,
    LocalService,
    counts,
    local_service,
    settings_values,
    waveform,
)


def test_updates_are_applied_in_the_order_sent(client: Client) -> None:
    with client.stream() as stream:
        sent = [
            stream.update("encoder", "day-1", f"s{index}", waveform(index), counts(index))
            for index in range(60)
        ]
    events = [future.result().event for future in sent]
    assert [future.result().sample_id for future in sent] == [f"s{index}" for index in range(60)]
    assert events == sorted(events)
    assert len(set(events)) == 60


def test_a_refused_sample_leaves_the_stream_open(client: Client) -> None:
    with client.stream() as stream:
        good = stream.update("encoder", "day-1", "a", waveform(0), counts(0))
        bad = stream.update("encoder", "day-1", "b", waveform(0)[:, :5], counts(0))
        again = stream.update("encoder", "day-1", "a", waveform(0), counts(0))
        stray = stream.label("encoder", "day-1", "c", counts(0))
        fine = stream.update("encoder", "day-1", "d", waveform(1), counts(1))
    assert good.result().learned
    assert fine.result().event == good.result().event + 1
    for future, code in (
        (bad, grpc.StatusCode.INVALID_ARGUMENT),
        (again, grpc.StatusCode.ALREADY_EXISTS),
        (stray, grpc.StatusCode.NOT_FOUND),
    ):
        error = future.exception()
        assert isinstance(error, ClientError)
        assert error.code == code


def test_late_labels_and_predictions_travel_too(client: Client) -> None:
    x = waveform(0, 2, 32)
    with client.stream() as stream:
        waits = stream.update("decoder", "day-1", "w", x)
        labelled = stream.label("decoder", "day-1", "w", "fist")
        predicted = stream.predict("decoder", "day-1", x)
    assert waits.result().pending
    assert not waits.result().learned
    assert waits.result().loss is None
    assert labelled.result().learned
    assert labelled.result().loss is not None
    assert predicted.result().values.shape == (3,)
    assert predicted.result().values.sum() == pytest.approx(1.0, abs=1e-5)
    assert client.status(["decoder"]).models["decoder"].pending_labels == 0


def learned_hash(folder: Path, teach: Callable[[Client], None]) -> str:
    """Hash of a fresh model's state after it was taught."""
    model = {**ENCODER, "structure": {"enabled": False}}
    with local_service(settings_values(folder, model)) as (_, client):
        client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
        teach(client)
        return client.status(include_state_hash=True).models["encoder"].state_hash


def test_a_stream_and_single_requests_give_the_same_model(tmp_path: Path) -> None:
    samples = [(f"s{index}", waveform(index), counts(index)) for index in range(40)]

    def one_by_one(client: Client) -> None:
        for sample in samples:
            client.update("encoder", "day-1", *sample)

    def streamed(client: Client) -> None:
        with client.stream() as stream:
            for sample in samples:
                stream.update("encoder", "day-1", *sample)

    assert learned_hash(tmp_path / "a", one_by_one) == learned_hash(tmp_path / "b", streamed)


def test_a_cancelled_stream_ends_and_the_service_goes_on(client: Client) -> None:
    stream = client.stream()
    stream.update("encoder", "day-1", "a", waveform(0), counts(0)).result(timeout=30)
    stream.cancel()
    after = stream.update("encoder", "day-1", "b", waveform(1), counts(1))
    with pytest.raises(ClientError):
        after.result(timeout=30)
    assert client.update("encoder", "day-1", "c", waveform(2), counts(2)).learned


def test_an_empty_request_is_answered_by_its_fault(service: LocalService, client: Client) -> None:
    with grpc.insecure_channel(service.address) as channel:
        stub = scatonline_pb2_grpc.ScatOnlineStub(channel)
        replies = list(stub.Stream(iter([pb.StreamRequest(number=41)]), timeout=10))
    assert [reply.number for reply in replies] == [41]
    assert replies[0].fault.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "expected predict, update or label" in replies[0].fault.message


def test_more_requests_than_may_be_in_flight_are_all_answered(client: Client) -> None:
    with client.stream(in_flight=1000) as stream:
        sent = [stream.predict("encoder", "day-1", waveform(index)) for index in range(300)]
    assert all(future.result().values.shape == (2,) for future in sent)
