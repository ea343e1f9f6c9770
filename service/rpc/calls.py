"""One coroutine per kind of request: read it, hand it to the model's engine, form the reply.

Each runs up to its engine's queue without giving way, so requests that are started in order are
queued in order.
"""

import asyncio
from collections.abc import Mapping

from service._generated import scatonline_pb2 as pb
from service.engine import Engine
from service.errors import UnknownModel
from service.rpc import converters, reports


class Calls:
    """The requests that both the unary methods and the stream take.

    Args:
        engines: Model name → engine.
    """

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self.engines = engines

    def engine(self, model: str) -> Engine:
        """The engine of a model; raises UnknownModel naming those that there are."""
        if model not in self.engines:
            raise UnknownModel(
                f"model: got {model!r}, expected one of {', '.join(sorted(self.engines))}"
            )
        return self.engines[model]

    async def open_session(self, request: pb.OpenSessionRequest) -> pb.OpenSessionReply:
        """Starts a session."""
        event = converters.session_opened(request)
        opened = self.engine(request.model).submit(event)
        return pb.OpenSessionReply(event=await asyncio.wrap_future(opened))

    async def predict(self, request: pb.PredictRequest) -> pb.PredictReply:
        """Predicts with the newest published reader."""
        engine = self.engine(request.model)
        prediction = await asyncio.wrap_future(engine.predict(*converters.predict_input(request)))
        return pb.PredictReply(prediction=converters.prediction_message(prediction))

    async def update(self, request: pb.UpdateRequest) -> pb.UpdateReply:
        """Predicts, scores and learns."""
        engine = self.engine(request.model)
        outcome = await asyncio.wrap_future(engine.submit(converters.sample_arrived(request)))
        return pb.UpdateReply(outcome=converters.outcome_message(outcome))

    async def label(self, request: pb.LabelRequest) -> pb.LabelReply:
        """Gives a waiting sample its target."""
        engine = self.engine(request.model)
        outcome = await asyncio.wrap_future(engine.submit(converters.label_arrived(request)))
        return pb.LabelReply(outcome=converters.outcome_message(outcome))

    async def get_filters(self, request: pb.GetFiltersRequest) -> pb.GetFiltersReply:
        """A report of the model's filters."""
        engine = self.engine(request.model)
        return reports.filters_reply(await asyncio.wrap_future(engine.report_now()))

    async def check_structure(self, request: pb.CheckStructureRequest) -> pb.CheckStructureReply:
        """Runs a check and applies its decision."""
        engine = self.engine(request.model)
        applied = await asyncio.wrap_future(engine.check_structure())
        return pb.CheckStructureReply(
            decision=reports.decision_message(applied.decision), event=applied.event
        )

    async def model_statuses(self, request: pb.StatusRequest) -> list[pb.ModelStatus]:
        """State of the models asked for, all if none is named."""
        engines = [self.engine(model) for model in request.models or self.engines]
        asked = [engine.status(with_hash=request.include_state_hash) for engine in engines]
        statuses = await asyncio.gather(*(asyncio.wrap_future(each) for each in asked))
        return [reports.status_message(status) for status in statuses]
