"""Structure checks of one model: run beside the writer, one at a time, never silently lost."""

from concurrent import futures
from concurrent.futures import Future
from contextvars import copy_context

import structlog

from scatonline.model import Model
from service.engine.checking import CheckPlace, Finding
from service.engine.events import AppliedDecision, StructureDecided
from service.engine.inbox import Change, Inbox, Question
from service.errors import NotReady, Unavailable
from service.telemetry import ModelInstruments

_log = structlog.get_logger(__name__)


class StructureChecks:
    """Starts checks and brings what they find back into the writer's queue.

    Every method but :meth:`wait` is called in the writer's thread.

    Args:
        inbox: The writer's queue, which takes the decision as one more event.
        place: Where they run.
        instruments: The model's instruments.

    Attributes:
        ended: Checks that ended since the process started.
        failures: Those of them that failed.
        last_decision: Newest decision since the process started, as it was applied.
    """

    def __init__(self, inbox: Inbox, place: CheckPlace, instruments: ModelInstruments) -> None:
        self.ended = 0
        self.failures = 0
        self.last_decision: AppliedDecision | None = None
        self._inbox = inbox
        self._place = place
        self._instruments = instruments
        self._finding: Future[Finding] | None = None
        self._applied: Future[AppliedDecision] | None = None
        self._not_before_event = 0

    @property
    def running(self) -> bool:
        """True from the start of a check until its decision is applied."""
        return self._applied is not None

    def begin(self, model: Model, applied: "Future[AppliedDecision]") -> None:
        """Starts a check.

        Args:
            model: The writer's model.
            applied: Gets the decision once it was applied, or the error that ended the check. If it
                was cancelled before, nothing is started; from then on it cannot be cancelled, and
                the decision is applied whether or not anybody still waits for it.

        Raises:
            NotReady: a check is running, or the window is too short.
        """
        if self.running:
            raise NotReady(f"model {model.spec.name!r} is checking its structure; ask again later")
        check = model.structure_check()
        if check is None:
            raise NotReady(f"model {model.spec.name!r}: {model.structure_ready()}")
        if not applied.set_running_or_notify_cancel():
            return
        finding = self._place.start(check)
        self._applied, self._finding = applied, finding
        # In the writer's context, which its lines in the log name.
        context = copy_context()
        finding.add_done_callback(lambda done: context.run(self._found, done))

    def begin_if_due(self, model: Model) -> None:
        """Starts a check when the model's schedule wants one."""
        if self.running or self._inbox.closed or model.event < self._not_before_event:
            return
        try:
            if model.structure_due():
                self.begin(model, Future())
        except NotReady as reason:
            self._postpone(model)
            _log.info("structure_check_postponed", reason=str(reason))
        except Exception as error:  # noqa: BLE001 (counted and logged; the writer goes on)
            self._count_failure(model, error)

    def drop(self) -> None:
        """Gives up a running check: whoever asked for it is told, its decision is ignored."""
        if self._applied is not None and not self._applied.done():
            self._applied.set_exception(
                Unavailable("the service is stopping; the structure check was dropped")
            )
        if self._finding is not None:
            self._place.give_up(self._finding)

    def wait(self, seconds: float) -> bool:
        """Waits for a running check to end; False if it has not."""
        if self._finding is None:
            return True
        return not futures.wait([self._finding], seconds).not_done

    def _found(self, finding: "Future[Finding]") -> None:
        """A check has ended, in a thread of its place."""
        try:
            found = finding.result()
        except Exception as error:  # noqa: BLE001 (logged, and told to whoever asked)
            failure = error
            task: Change[AppliedDecision] | Question[None] = Question(
                lambda served: self._end_in_failure(served.model, failure)
            )
        else:
            self._instruments.check_duration.observe(found.seconds)
            task = Change(StructureDecided(found.decision))
            task.result.add_done_callback(self._end)
        try:
            self._inbox.put(task, bounded=False)
        except Unavailable as reason:
            _log.info("structure_decision_dropped", reason=str(reason))

    def _end(self, done: "Future[AppliedDecision]") -> None:
        """The decision was applied or refused by the model, in the writer's thread."""
        error = done.exception()
        if isinstance(error, Unavailable):
            return  # the writer has ended; drop() answers whoever asked
        if error is not None:
            self._inbox.put(Question(lambda served: self._end_in_failure(served.model, error)))
            return
        self.ended += 1
        self.last_decision = done.result()
        applied, self._applied = self._applied, None
        if applied is not None and not applied.done():
            applied.set_result(done.result())

    def _end_in_failure(self, model: Model, error: BaseException) -> None:
        self._count_failure(model, error)
        applied, self._applied = self._applied, None
        if applied is not None and not applied.done():
            applied.set_exception(error)

    def _count_failure(self, model: Model, error: BaseException) -> None:
        self.ended += 1
        self.failures += 1
        self._instruments.check_failures.inc()
        self._postpone(model)
        _log.error("structure_check_failed", model=model.spec.name, exc_info=error)

    def _postpone(self, model: Model) -> None:
        """Leaves a pause after a check without decision, since the model still calls one due."""
        self._not_before_event = model.event + model.spec.structure.check_every
