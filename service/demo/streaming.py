"""One model's stream: every sample predicted first and learned from second."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial

from service.client import Client, Outcome, Stream
from service.demo.ledger import Ledger
from service.recordings import RecordedSample

IN_FLIGHT = 8
PROBE_EVERY = 10


def stream_samples(
    client: Client,
    model: str,
    outputs: Mapping[str, Sequence[str]],
    samples: Sequence[RecordedSample],
    ledger: Ledger,
    halt: threading.Event,
) -> None:
    """Streams samples to one model, several in flight.

    A session is opened when its first sample is due and all before it are answered, as in an
    experiment, so that it starts from what the model knows by then.

    Every tenth sample goes alone: once all before it are answered it is predicted, and then
    learned, and each of the two is timed from request to reply.

    Args:
        client: An open connection.
        model: Name of the model.
        outputs: Names of the outputs of every session, by its id.
        samples: What is streamed, in order.
        ledger: Where predictions, targets and times are entered.
        halt: Ends the stream early when set; what was sent is still answered.

    Raises:
        ClientError: the service refused a request or is gone.
    """
    # The demo's own service is not started anew: if it is gone, that is to be said at once.
    with client.stream(in_flight=IN_FLIGHT, reconnect=False) as stream:
        answered: Future[Outcome] | None = None
        session: str | None = None
        for number, sample in enumerate(samples):
            if halt.is_set():
                break
            if ledger.error is not None:
                raise ledger.error
            ledger.sent(sample)
            alone = number % PROBE_EVERY == 0
            if answered is not None and (alone or sample.session != session):
                answered.result()
            if sample.session != session:
                session = sample.session
                client.open_session(model, session, outputs[session])
            if alone:
                ledger.predict_s.append(_timed_prediction(stream, model, sample))
            began_s = time.perf_counter()
            answered = _update(stream, model, sample)
            if alone:
                answered.result()
                ledger.update_s.append(time.perf_counter() - began_s)
            answered.add_done_callback(partial(_enter, ledger, number))
            for label in sample.labels:
                ledger.labelled(label)
                answered = stream.label(model, sample.session, label.sample_id, label.target)
                answered.add_done_callback(partial(_note_failure, ledger))
    if ledger.error is not None:
        raise ledger.error


def _update(stream: Stream, model: str, sample: RecordedSample) -> "Future[Outcome]":
    return stream.update(
        model,
        sample.session,
        sample.sample_id,
        sample.input,
        sample.target,
        device_time_s=sample.device_time_s,
        host_time_s=time.time(),
    )


def _timed_prediction(stream: Stream, model: str, sample: RecordedSample) -> float:
    began_s = time.perf_counter()
    stream.predict(model, sample.session, sample.input).result()
    return time.perf_counter() - began_s


def _enter(ledger: Ledger, number: int, answer: "Future[Outcome]") -> None:
    _note_failure(ledger, answer)
    if answer.exception() is None:
        ledger.predicted(number, answer.result())


def _note_failure(ledger: Ledger, answer: "Future[Outcome]") -> None:
    error = answer.exception()
    if error is not None and ledger.error is None:
        ledger.error = error
