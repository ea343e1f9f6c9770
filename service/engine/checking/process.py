"""Structure checks in a process of their own, one after another."""

import multiprocessing
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import resource_tracker

from scatonline.structure import StructureCheck
from service.engine import priority
from service.engine.checking.pipe import receive, send
from service.engine.checking.place import Finding
from service.engine.checking.worker import serve
from service.errors import CheckLost, Unavailable

_SPAWN = multiprocessing.get_context("spawn")
_REAPED_S = 5.0


class InProcess:
    """Runs checks in one process for all models, with a low priority and one thread.

    Nothing there holds the interpreter's lock of this process, so predictions beside a check wait
    for nothing but the processor. The process starts with the first check, which waits some seconds
    for it, and starts anew after it has ended, whoever ended it.
    """

    def __init__(self) -> None:
        self._turns = ThreadPoolExecutor(1, thread_name_prefix="turns-of-checks")
        self._changing = threading.Lock()
        self._worker: _Worker | None = None
        self._under_way: Future[Finding] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Number of the process; None while there is none."""
        worker = self._worker
        return None if worker is None else worker.pid

    def start(self, check: StructureCheck) -> "Future[Finding]":
        """Has a check wait for its turn.

        The future fails with CheckLost if the process ends before the check does.
        """
        finding: Future[Finding] = Future()
        self._turns.submit(self._take_turn, check, finding)
        return finding

    def give_up(self, finding: "Future[Finding]") -> None:
        """Takes a check back, or kills the process that is at it; the next one gets a new one."""
        if finding.cancel():
            return
        with self._changing:
            if finding is self._under_way and self._worker is not None:
                self._worker.kill()

    def close(self) -> None:
        """Ends the process, and a check that runs there; those that wait are refused."""
        with self._changing:
            self._closed = True
            if self._worker is not None:
                self._worker.kill()
        self._turns.shutdown()
        if self._worker is not None:
            self._worker.reap()

    def _take_turn(self, check: StructureCheck, finding: "Future[Finding]") -> None:
        try:
            worker = self._begin(finding)
            if worker is None:
                return
            result = worker.run(check)
        except Exception as error:  # noqa: BLE001 (told to whoever started it)
            self._end_turn()
            finding.set_exception(error)
        else:
            self._end_turn()
            finding.set_result(result)

    def _begin(self, finding: "Future[Finding]") -> "_Worker | None":
        """The process that is to run a check; None for a check that was taken back."""
        with self._changing:
            if not finding.set_running_or_notify_cancel():
                return None
            if self._closed:
                raise Unavailable("the service is stopping and starts no structure check")
            if self._worker is None or not self._worker.alive:
                if self._worker is not None:
                    self._worker.reap()
                self._worker = _Worker()
            self._under_way = finding
            return self._worker

    def _end_turn(self) -> None:
        """From here on, giving the check up must not hit the one after it."""
        with self._changing:
            self._under_way = None


class _Worker:
    """The process, and this end of its pipe.

    All but :meth:`kill` is called in one thread.

    Attributes:
        pid: Its number; None once it is known to have ended.

    Raises:
        OSError: the system gives no more processes, or no pipe.
    """

    def __init__(self) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        with theirs:
            self._process = _SPAWN.Process(target=serve, args=(theirs,), name="checks", daemon=True)
            _start_last_and_deaf(self._process)
        self.pid: int | None = self._process.pid
        self._killed = False

    @property
    def alive(self) -> bool:
        """False once it has ended, or is about to."""
        return not self._killed and self._process.is_alive()

    def run(self, check: StructureCheck) -> Finding:
        """Has it run a check.

        Raises:
            CheckLost: it has ended before the check did.
            Exception: whatever ended the check.
        """
        try:
            send(self._connection, check)
            answer: Finding | Exception = receive(self._connection)
        except (EOFError, OSError) as error:
            self.reap()
            raise CheckLost(
                "the process of structure checks ended in the middle of one, with exit status "
                f"{self._process.exitcode} (-9: killed, as where memory is short); ask again"
            ) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self) -> None:
        """Ends it at once."""
        self._killed = True
        self._process.kill()

    def reap(self) -> None:
        """Waits for its end and gives back what it held here."""
        self._process.join(_REAPED_S)
        self.pid = None
        self._connection.close()


def _start_last_and_deaf(process: "multiprocessing.context.SpawnProcess") -> None:
    """Starts a process of low priority that Ctrl-C does not reach as it does all others.

    It is so before it has run a line of its own: what it imports takes seconds of a processor.
    """
    # Where this starts a process too, it unblocks the signal.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()  # inherits what is blocked in this thread
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert process.pid is not None
    priority.lower(process.pid, priority.CHECKING)
