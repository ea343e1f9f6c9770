"""Structure checks in threads of this process."""

import threading
from concurrent.futures import Future

from scatonline.structure import StructureCheck
from service.engine.checking.place import Finding, found


class InThreads:
    """Runs each check in a thread of its own.

    For models on a GPU: another process would need its own context there, some hundred megabytes of
    the GPU's memory. A check holds the interpreter's lock while it is not in PyTorch's loops.
    """

    def start(self, check: StructureCheck) -> "Future[Finding]":
        """Starts a check at once."""
        finding: Future[Finding] = Future()
        finding.set_running_or_notify_cancel()
        # A daemon, so that a long check cannot keep a stopping process alive.
        threading.Thread(
            target=_run, args=(check, finding), name=f"check-{check.spec.name}", daemon=True
        ).start()
        return finding

    def give_up(self, finding: "Future[Finding]") -> None:
        """Does nothing: a thread cannot be ended from outside, so the check goes on."""


def _run(check: StructureCheck, finding: "Future[Finding]") -> None:
    try:
        result = found(check)
    except Exception as error:  # noqa: BLE001 (told to whoever started it)
        finding.set_exception(error)
    else:
        finding.set_result(result)
