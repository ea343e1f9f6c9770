"""Everything that a client can ask of a real service, waited for and awaited."""

import asyncio
import itertools
import threading
from concurrent.futures import Future
from pathlib import Path

import grpc
import pytest

from service.client import (
    AsyncClient,
    Client,
    ClientError,
    Decision,
    LearningFrozen,
    ModelExists,
    Notice,
    Watch,
)
from tests.service.running import (
    ENCODER,
    LocalService,
    counts,
    eventually,
    local_service,
    settings_values,
    waveform,
)

UNITS = ["unit-1", "unit-2"]


def teach(client: Client, count: int, model: str = "encoder", first: int = 0) -> None:
    for index in range(first, first + count):
        client.update(model, "day-1", f"s{index}", waveform(index), counts(index))


def test_a_sample_sent_again_is_answered_as_the_first_time(client: Client) -> None:
    first = client.update("encoder", "day-1", "a", waveform(0), counts(0))
    again = client.update("encoder", "day-1", "a", waveform(0), counts(0))
    assert (again.event, again.loss, again.learned) == (first.event, first.loss, first.learned)
    assert (again.prediction.values == first.prediction.values).all()
    assert client.status().models["encoder"].repeated_requests == 1
    with pytest.raises(ClientError, match="ALREADY_EXISTS"):
        client.update("encoder", "day-1", "a", waveform(1), counts(0))


def test_a_prediction_may_wait_for_an_event(client: Client) -> None:
    event = client.status().models["encoder"].event
    waiting: Future[int] = Future()
    asking = threading.Thread(
        target=lambda: waiting.set_result(
            client.predict("encoder", "day-1", waveform(0), at_least_event=event + 2).event
        )
    )
    asking.start()
    teach(client, 1)
    asking.join(0.3)
    assert asking.is_alive()
    teach(client, 1, first=1)
    assert waiting.result(30) >= event + 2


def test_early_answers_say_the_same(client: Client) -> None:
    model = {**ENCODER, "name": "other"}
    client.create_model(model)
    client.open_session("other", "day-1", UNITS)
    for index in range(12):
        x, y = waveform(index), counts(index)
        usual = client.update("other", "day-1", f"s{index}", x, y)
        soon = client.update("encoder", "day-1", f"s{index}", x, y, answer_early=True)
        assert (usual.event, usual.loss, usual.learned) == (soon.event, soon.loss, soon.learned)
        assert (usual.prediction.values == soon.prediction.values).all()
        knowing = client.predict("encoder", "day-1", x, at_least_event=soon.event)
        assert (knowing.values == client.predict("other", "day-1", x).values).all()
    with client.stream() as stream:
        late = [
            stream.update("encoder", "day-1", f"t{n}", waveform(n), counts(n), answer_early=True)
            for n in range(12)
        ]
        waits = stream.update("encoder", "day-1", "u", waveform(0), answer_early=True)
    assert all(each.result(30).learned for each in late)
    assert waits.result(30).pending


def test_numbers_that_were_skipped_are_counted(client: Client) -> None:
    for sequence in (1, 2, 5):
        client.update("encoder", "day-1", f"s{sequence}", waveform(0), counts(0), sequence=sequence)
    assert client.status().models["encoder"].missing_samples == 2


def test_learning_stops_and_goes_on(client: Client) -> None:
    teach(client, 2)
    frozen_at = client.freeze("encoder")
    assert client.freeze("encoder") == frozen_at
    assert client.status().models["encoder"].frozen
    outcome = client.update("encoder", "day-1", "frozen", waveform(5), counts(5))
    assert not outcome.learned
    assert outcome.loss is not None
    client.resume("encoder")
    assert not client.status().models["encoder"].frozen
    assert client.update("encoder", "day-1", "again", waveform(6), counts(6)).learned


def test_a_model_is_made_described_and_deleted(client: Client) -> None:
    spec = {**ENCODER, "name": "made"}
    assert client.create_model(spec, timeout_s=60.0) == "made"
    assert client.models() == ("decoder", "encoder", "made")
    described = client.describe("made")
    assert (described.model, described.in_settings) == ("made", False)
    assert described.specification["shape"] == [64]
    assert described.specification["features"]["calibration"] == 8
    assert client.describe("encoder").in_settings
    client.open_session("made", "day-1", UNITS)
    teach(client, 1, "made")
    with pytest.raises(ClientError, match="confirm"):
        client.delete_model("made", confirm="encoder")
    client.delete_model("made", confirm="made")
    assert client.models() == ("decoder", "encoder")
    with pytest.raises(ClientError, match="NOT_FOUND"):
        client.status(["made"])


def test_a_model_goes_through_a_file_and_continues_to_the_same_bits(
    client: Client, tmp_path: Path
) -> None:
    teach(client, 12)
    path = tmp_path / "encoder.scat"
    assert client.export_model("encoder", path) == path.stat().st_size
    with path.open("rb") as file:
        imported = client.import_model(file, "copy")
    assert (imported.model, imported.event) == ("copy", 13)
    with pytest.raises(ClientError, match="ALREADY_EXISTS"):
        client.import_model(path, "copy")
    teach(client, 12, first=12)
    teach(client, 12, "copy", first=12)
    x = waveform(99)
    one, other = (client.predict(model, "day-1", x).values for model in ("encoder", "copy"))
    assert (one == other).all()
    client.import_model(path, "copy", replace=True)
    assert (client.predict("copy", "day-1", x).values != one).any()


def test_a_model_goes_back_to_a_checkpoint(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER)
    values["storage"] |= {"checkpoint_every_s": 0.2, "keep": 1000}
    with local_service(values) as (_, client):
        client.open_session("encoder", "day-1", UNITS)
        teach(client, 3)
        eventually(lambda: client.status().models["encoder"].checkpoint_event == 4)
        then = client.predict("encoder", "day-1", waveform(50)).values
        teach(client, 20, first=3)
        assert (client.predict("encoder", "day-1", waveform(50)).values != then).any()
        newest_first = [each.event for each in client.checkpoints("encoder")]
        assert newest_first == sorted(newest_first, reverse=True)
        assert 4 in newest_first
        before = client.status().models["encoder"].event
        assert client.rollback("encoder", 4) == before + 1
        assert (client.predict("encoder", "day-1", waveform(50)).values == then).all()
        assert client.update("encoder", "day-1", "s3", waveform(3), counts(3)).learned
        with pytest.raises(ClientError, match="NOT_FOUND"):
            client.rollback("encoder", 10_000)


def test_a_watch_tells_what_happens_to_the_models_named(client: Client) -> None:
    with client.watch(["encoder"]) as watch:
        heard = Heard(watch)
        heard.provoke(client)
        client.freeze("decoder")
        teach(client, 45)
        told = heard.first(Decision)
    decided = client.status().models["encoder"].last_decision
    assert decided is not None
    assert {notice.model for notice in heard.notices} == {"encoder"}
    assert isinstance(told.what, Decision)
    assert len(told.what.cars) == len(decided.cars)
    assert told.what.outputs == tuple(UNITS)
    assert all(len(car.by_output) == 2 for car in told.what.cars)
    heard.thread.join(30)
    assert not heard.thread.is_alive()


def test_a_watch_of_all_hears_of_models_made_later(client: Client) -> None:
    with client.watch() as watch:
        heard = Heard(watch)
        heard.provoke(client)
        client.create_model({**ENCODER, "name": "made"})
        told = heard.first(ModelExists)
    assert (told.model, told.what) == ("made", ModelExists(True))


class Heard:
    """What a watch has told so far."""

    def __init__(self, watch: Watch) -> None:
        self.notices: list[Notice] = []
        self._watch = watch
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def provoke(self, client: Client) -> None:
        """Freezes and resumes until the watch hears of it; the model then learns."""
        for act in itertools.cycle((client.freeze, client.resume)):
            act("encoder")
            if act == client.resume and self.notices:
                return

    def first(self, kind: type[object]) -> Notice:
        # A first check starts a process of low priority, which busy processors let wait.
        eventually(lambda: any(isinstance(notice.what, kind) for notice in self.notices), 300.0)
        return next(notice for notice in self.notices if isinstance(notice.what, kind))

    def _listen(self) -> None:
        for notice in self._watch:
            self.notices.append(notice)


def test_a_watch_of_no_such_model_is_refused(client: Client) -> None:
    with client.watch(["other"]) as watch, pytest.raises(ClientError, match="NOT_FOUND"):
        next(watch)


async def test_all_of_it_can_be_awaited(service: LocalService, client: Client) -> None:
    async with AsyncClient(service.address) as awaiting:
        assert await awaiting.models() == await asyncio.to_thread(client.models)
        await awaiting.open_session("encoder", "day-2", UNITS)
        outcome = await awaiting.update("encoder", "day-2", "a", waveform(0))
        assert outcome.pending
        assert (await awaiting.label("encoder", "day-2", "a", counts(0))).learned
        predicted = await awaiting.predict("encoder", "day-2", waveform(0))
        assert predicted.values.shape == (2,)
        assert await awaiting.freeze("encoder") < await awaiting.resume("encoder")
        status = await awaiting.status(["encoder"], include_state_hash=True)
        assert len(status.models["encoder"].state_hash) == 64
        with pytest.raises(ClientError) as refused:
            await awaiting.filters("other")
        assert refused.value.code is grpc.StatusCode.NOT_FOUND


async def test_requests_awaited_together_are_all_answered(
    service: LocalService, client: Client
) -> None:
    async with AsyncClient(service.address) as awaiting:
        predictions = await asyncio.gather(
            *(awaiting.predict("encoder", "day-1", waveform(index)) for index in range(50))
        )
    assert all(prediction.values.shape == (2,) for prediction in predictions)


async def test_an_awaiting_watch_survives_a_wait_that_is_cancelled(
    service: LocalService, client: Client
) -> None:
    async with AsyncClient(service.address) as awaiting, awaiting.watch(["encoder"]) as watch:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(watch), 0.3)
        await awaiting.freeze("encoder")
        notice = await anext(watch)
        assert isinstance(notice.what, LearningFrozen)
        assert not notice.after_outage
        await watch.close()
        assert [notice async for notice in watch] == []
