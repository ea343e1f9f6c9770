"""What the process of structure checks does."""

import multiprocessing
import os
import pickle
import threading
import traceback
from multiprocessing.connection import Connection

import torch

from service.engine.checking.pipe import receive, send
from service.engine.checking.place import Finding, found


def serve(connection: Connection) -> None:
    """Runs one check after another until the service ends.

    Args:
        connection: Checks come in, and for each a :class:`Finding` or an error goes out.
    """
    # The service may be killed in the middle of a check, which would go on for nobody.
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    torch.set_num_threads(1)
    while True:
        try:
            answer = _answer(connection)
            send(connection, answer)
        except (EOFError, OSError):
            return


def _answer(connection: Connection) -> Finding | Exception:
    check = receive(connection)
    try:
        return found(check)
    except Exception as error:  # noqa: BLE001 (told to whoever started it)
        return _portable(error)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, or another that says the same if it cannot travel."""
    told = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (written by the line itself)
    except Exception:  # noqa: BLE001 (whatever its class does)
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"In the process of structure checks:\n{told}")
    return error


def _end_with_the_service() -> None:
    service = multiprocessing.parent_process()
    assert service is not None
    service.join()
    os._exit(1)
