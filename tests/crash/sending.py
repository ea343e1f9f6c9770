"""A client that sends a course to one life after another until everything was answered once."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import grpc

from service.client import Client, ClientError, Outcome, Stream
from tests.crash.course import Step, last_steps, steps

IN_FLIGHT = 32
# What a client is told when its service dies under it.
_GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


@dataclass
class Sent:
    """A step and what was answered to it, as bits; None: nothing yet."""

    model: str
    step: Step
    answer: object = None


class Course:
    """The steps of several models, one sample of each in turn.

    Args:
        models: Names of the models.

    Attributes:
        sent: Every step so far, in the order sent.
    """

    def __init__(self, models: Sequence[str]) -> None:
        self.sent: list[Sent] = []
        self._models = models
        self._samples = 0

    def add(self) -> None:
        """One more sample of every model."""
        for model in self._models:
            self.sent += [Sent(model, step) for step in steps(model, self._samples)]
        self._samples += 1

    def add_last(self) -> None:
        """What leaves no sample without its label."""
        for model in self._models:
            self.sent += [Sent(model, step) for step in last_steps(model, self._samples)]

    def send_again(self, client: Client, count: int) -> bool:
        """Sends the newest requests that were answered once more: the same answers must come.

        False if the service died on the way.
        """
        known = [each for each in self.sent if each.answer is not None and each.step.send]
        with client.stream(reconnect=False) as stream:
            futures = [(each, _sent(each, stream)) for each in known[-count:]]
        for each, future in futures:
            error = future.exception(0)
            if error is not None:
                return _gone(error)
            got = bits(future.result())
            assert got == each.answer, f"{each.model} {each.step.name}: {got} after {each.answer}"
        return True

    def send(self, client: Client) -> bool:
        """Sends what was not answered, in its order; False if the service died on the way."""
        unanswered = [each for each in self.sent if each.answer is None]
        waiting: list[tuple[Sent, Future[Any]]] = []
        stream = client.stream(in_flight=IN_FLIGHT, reconnect=False)
        try:
            for each in unanswered:
                if each.step.send is not None:
                    waiting.append((each, _sent(each, stream)))
                    if not _failed(waiting[-1][1]):
                        continue
                if not _settle(waiting):
                    return False
                if not _ask(each, client):
                    return False
            return _settle(waiting)
        finally:
            stream.cancel()


def bits(answer: object) -> object:
    """An answer so that equal means equal to the bit."""
    if not isinstance(answer, Outcome):
        return answer
    predicted = answer.prediction
    return (
        answer.sample_id,
        predicted.values.tobytes(),
        predicted.event,
        answer.learned,
        answer.pending,
        answer.loss,
        answer.event,
    )


def _sent(each: Sent, stream: Stream) -> "Future[Any]":
    assert each.step.send is not None
    return each.step.send(stream)


def _failed(future: "Future[Any]") -> bool:
    return future.done() and future.exception() is not None


def _ask(each: Sent, client: Client) -> bool:
    assert each.step.ask is not None
    try:
        each.answer = bits(each.step.ask(client))
    except ClientError as error:
        return _gone(error)
    return True


def _settle(waiting: list[tuple[Sent, "Future[Any]"]]) -> bool:
    """Waits for every answer and keeps those that came; False if one did not."""
    alive = True
    for each, future in waiting:
        error = future.exception(60)
        if error is None:
            each.answer = bits(future.result())
        else:
            alive = _gone(error)
    waiting.clear()
    return alive


def _gone(error: BaseException) -> bool:
    assert isinstance(error, ClientError), error
    assert error.code in _GONE, error
    return False
