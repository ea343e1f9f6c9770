"""One coroutine per kind of request: read it, hand it to the model's engine, form the reply.

Each runs up to its engine's queue without giving way, so requests that are started in order are
queued in order.
"""

import asyncio
import json
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from service._generated import scatonline_pb2 as pb
from service.engine import LearningSet, Models
from service.rpc import converters, reports
from service.rpc.answered import Answered

P = ParamSpec("P")
T = TypeVar("T")


class Calls:
    """The requests that both the unary methods and the stream take.

    Made inside the running event loop.

    Args:
        models: The models that there are.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self._turn = asyncio.Lock()
        self._answered = Answered(asyncio.get_running_loop())

    async def open_session(self, request: pb.OpenSessionRequest) -> pb.OpenSessionReply:
        """Starts a session."""
        event = converters.session_opened(request)
        opened = self.models.engine(request.model).submit(event)
        return pb.OpenSessionReply(event=await self._answered.result(opened))

    async def predict(self, request: pb.PredictRequest) -> pb.PredictReply:
        """Predicts with the newest published reader."""
        engine = self.models.engine(request.model)
        session, x = converters.predict_input(request)
        prediction = await self._answered.result(engine.predict(session, x, request.at_least_event))
        return pb.PredictReply(prediction=converters.prediction_message(prediction))

    async def update(self, request: pb.UpdateRequest) -> pb.UpdateReply:
        """Predicts, scores and learns."""
        engine = self.models.engine(request.model)
        outcome = await self._answered.result(engine.submit(converters.sample_arrived(request)))
        return pb.UpdateReply(outcome=converters.outcome_message(outcome))

    async def label(self, request: pb.LabelRequest) -> pb.LabelReply:
        """Gives a waiting sample its target."""
        engine = self.models.engine(request.model)
        outcome = await self._answered.result(engine.submit(converters.label_arrived(request)))
        return pb.LabelReply(outcome=converters.outcome_message(outcome))

    async def get_filters(self, request: pb.GetFiltersRequest) -> pb.GetFiltersReply:
        """A report of the model's filters."""
        engine = self.models.engine(request.model)
        return reports.filters_reply(await self._answered.result(engine.report_now()))

    async def check_structure(self, request: pb.CheckStructureRequest) -> pb.CheckStructureReply:
        """Runs a check and applies its decision."""
        engine = self.models.engine(request.model)
        applied = await self._answered.result(engine.check_structure())
        return pb.CheckStructureReply(
            decision=reports.decision_message(applied), event=applied.event
        )

    async def unknown(self, model: str) -> None:
        """Refuses the name of a model that there is not."""
        self.models.engine(model)

    async def model_statuses(self, request: pb.StatusRequest) -> list[pb.ModelStatus]:
        """State of the models asked for, all if none is named."""
        names = request.models or self.models.engines
        engines = [self.models.engine(name) for name in names]
        asked = [engine.status(with_hash=request.include_state_hash) for engine in engines]
        statuses = await asyncio.gather(*(self._answered.result(each) for each in asked))
        return [reports.status_message(status) for status in statuses]

    async def freeze(self, request: pb.FreezeRequest) -> pb.FreezeReply:
        """Stops learning."""
        done = self.models.engine(request.model).submit(LearningSet(frozen=True))
        return pb.FreezeReply(event=await self._answered.result(done))

    async def resume(self, request: pb.ResumeRequest) -> pb.ResumeReply:
        """Goes on with learning."""
        done = self.models.engine(request.model).submit(LearningSet(frozen=False))
        return pb.ResumeReply(event=await self._answered.result(done))

    async def list_checkpoints(self, request: pb.ListCheckpointsRequest) -> pb.ListCheckpointsReply:
        """What a model can be rolled back to."""
        engine = self.models.engine(request.model)
        summaries = await asyncio.to_thread(engine.checkpoints)
        return pb.ListCheckpointsReply(
            checkpoints=[
                pb.CheckpointSummary(event=each.event, written_s=each.written_s)
                for each in summaries
            ]
        )

    async def roll_back(self, request: pb.RollbackRequest) -> pb.RollbackReply:
        """Returns a model to a checkpoint."""
        engine = self.models.engine(request.model)
        event = await asyncio.to_thread(engine.rollback, request.to_event)
        return pb.RollbackReply(event=await self._answered.result(engine.submit(event)))

    async def list_models(self, request: pb.ListModelsRequest) -> pb.ListModelsReply:
        """Names of all models."""
        return pb.ListModelsReply(models=sorted(self.models.engines))

    async def describe_model(self, request: pb.DescribeModelRequest) -> pb.DescribeModelReply:
        """The whole specification of a model."""
        engine = self.models.engine(request.model)
        return pb.DescribeModelReply(
            model=request.model,
            specification=json.dumps(engine.spec.to_dict()),
            in_settings=self.models.in_settings(request.model),
        )

    async def create_model(self, request: pb.CreateModelRequest) -> pb.CreateModelReply:
        """Makes a model."""
        spec = converters.specification(request)
        engine = await self._in_turn(self.models.create, spec)
        return pb.CreateModelReply(model=engine.name)

    async def delete_model(self, request: pb.DeleteModelRequest) -> pb.DeleteModelReply:
        """Deletes a model."""
        await self._in_turn(self.models.delete, request.model, request.confirm)
        return pb.DeleteModelReply()

    async def import_model(self, content: bytes, name: str, replace: bool) -> pb.ImportModelReply:
        """Makes a model of a file, or replaces one."""
        engine, state = await self._in_turn(self.models.import_, content, name, replace)
        if state is None:
            return pb.ImportModelReply(model=engine.name, event=engine.report.event)
        event = await self._answered.result(engine.submit(state))
        return pb.ImportModelReply(model=engine.name, event=event)

    async def _in_turn(self, change: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Changes what models there are, in a thread, one call after the other.

        One that nobody waits for any more when its turn comes is not begun; one that has begun is
        brought to its end before the next.
        """
        await self._turn.acquire()
        changing = asyncio.ensure_future(asyncio.to_thread(change, *args, **kwargs))
        changing.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(changing)
