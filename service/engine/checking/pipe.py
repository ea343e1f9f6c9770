"""How a check crosses to another process, and how what came of it comes back.

Messages are pickled: both ends are this service, and nobody else holds the pipe.
"""

import io
import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor


def send(connection: Connection, message: object) -> None:
    """Sends an object; nothing goes out if it cannot be pickled.

    Raises:
        pickle.PicklingError: it cannot, as with tensors that are not in the processor's memory.
        OSError: nobody listens any more.
    """
    arrays: list[pickle.PickleBuffer] = []
    written = io.BytesIO()
    try:
        _Pickler(written, protocol=5, buffer_callback=arrays.append).dump(message)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise pickle.PicklingError(
            f"got a {type(message).__name__} that cannot go to another process: {error}; expected "
            "one of plain values and tensors in the processor's memory; run it in a thread"
        ) from error
    parts = [array.raw() for array in arrays]
    connection.send([part.nbytes for part in parts])
    connection.send_bytes(written.getbuffer())
    for part in parts:
        connection.send_bytes(part)


def receive(connection: Connection) -> Any:
    """Waits for an object.

    Raises:
        EOFError, OSError: the other end is gone.
    """
    sizes = connection.recv()
    written = connection.recv_bytes()
    parts = [bytearray(size) for size in sizes]
    for part in parts:
        connection.recv_bytes_into(part)
    return pickle.loads(written, buffers=parts)  # noqa: S301 (written by this service)


class _Pickler(pickle.Pickler):
    """Leaves tensors where they are, to be written to the pipe from there.

    Their own way copies a window of inputs several times, and holds the interpreter's lock all
    the while; PyTorch's way between processes needs shared memory, of which containers have little.
    """

    def reducer_override(self, value: Any) -> "tuple[Callable[..., Any], tuple[Any, ...]] | Any":
        """As :mod:`pickle` asks; NotImplemented leaves a value to it."""
        if not isinstance(value, Tensor):
            return NotImplemented
        if value.device.type != "cpu":
            raise pickle.PicklingError(f"it has a tensor on {value.device}")
        if type(value) is not Tensor or value.requires_grad:
            return NotImplemented
        return torch.from_numpy, (value.numpy(force=True),)
