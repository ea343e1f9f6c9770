"""One connection to the service, one method per kind of request."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import messages
from service.client.errors import ClientError
from service.client.messages import TargetLike
from service.client.results import CheckResult, Filters, Outcome, Prediction, ServiceStatus
from service.client.stream import Stream

Request = TypeVar("Request")
Reply = TypeVar("Reply")


class Client:
    """Talks to a running service; safe to use from several threads.

    Every method raises :class:`ClientError` if the service refuses or cannot be reached in time.

    Args:
        target: Address, for example "localhost:50051".
        timeout_s: Seconds that a request may take.
        max_message_bytes: Largest message, as in the service's settings.
    """

    def __init__(
        self, target: str, *, timeout_s: float = 30.0, max_message_bytes: int = 64 * 2**20
    ) -> None:
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(
            target,
            options=(
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
            ),
        )
        self._stub = scatonline_pb2_grpc.ScatOnlineStub(self._channel)

    def open_session(self, model: str, session: str, outputs: Sequence[str]) -> int:
        """Starts a session with these units or classes; returns the model's event number.

        Opening it again with the same outputs changes nothing.
        """
        request = pb.OpenSessionRequest(model=model, session=session, outputs=outputs)
        return self._call(self._stub.OpenSession, request).event

    def predict(self, model: str, session: str, x: NDArray[np.generic]) -> Prediction:
        """Predicts without learning; x: (channels, *shape) of any real type that travels."""
        request = messages.predict_request(model, session, x)
        return messages.prediction(self._call(self._stub.Predict, request).prediction)

    def update(
        self,
        model: str,
        session: str,
        sample_id: str,
        x: NDArray[np.generic],
        target: TargetLike | None = None,
        *,
        device_time_s: float | None = None,
        host_time_s: float | None = None,
    ) -> Outcome:
        """Predicts a sample, scores the prediction and learns from it.

        Args:
            model: Name of the model.
            session: Id of an open session.
            sample_id: Id of the sample, unique in the session.
            x: (channels, *shape) of any real type that travels.
            target: (outputs,) with NaN for what was not recorded, a class name, or None if the
                label comes later.
            device_time_s: Time on the recording device's clock.
            host_time_s: Time since the Unix epoch on this machine's clock.
        """
        request = messages.update_request(
            model,
            session,
            sample_id,
            x,
            target,
            device_time_s=device_time_s,
            host_time_s=host_time_s,
        )
        return messages.outcome(self._call(self._stub.Update, request).outcome)

    def label(self, model: str, session: str, sample_id: str, target: TargetLike) -> Outcome:
        """Gives a waiting sample its target: (outputs,) or a class name."""
        request = messages.label_request(model, session, sample_id, target)
        return messages.outcome(self._call(self._stub.Label, request).outcome)

    def stream(self, *, in_flight: int = 32) -> Stream:
        """Opens a stream for pipelined requests; use it in a `with` block."""
        return Stream(self._stub.Stream, in_flight)

    def filters(self, model: str) -> Filters:
        """Filters of a model with parameters, drift and CAR index."""
        return messages.filters(
            self._call(self._stub.GetFilters, pb.GetFiltersRequest(model=model))
        )

    def check_structure(self, model: str, *, timeout_s: float = 600.0) -> CheckResult:
        """Runs a structure check now and applies its decision.

        Args:
            model: Name of the model; the window is that of the session it learned from last.
            timeout_s: Seconds that the check may take.
        """
        request = pb.CheckStructureRequest(model=model)
        reply = self._call(self._stub.CheckStructure, request, timeout_s)
        return CheckResult(messages.decision(reply.decision), reply.event)

    def status(
        self, models: Sequence[str] = (), *, include_state_hash: bool = False
    ) -> ServiceStatus:
        """State of the service and of the models named, all if none is."""
        request = pb.StatusRequest(models=models, include_state_hash=include_state_hash)
        return messages.status(self._call(self._stub.Status, request))

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Reply]",
        request: Request,
        timeout_s: float | None = None,
    ) -> Reply:
        try:
            return method(request, timeout=timeout_s or self._timeout_s)
        except grpc.RpcError as error:
            raise ClientError.from_rpc(error) from error
