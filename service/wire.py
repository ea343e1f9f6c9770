"""Arrays on the wire: raw little-endian bytes, an element type and a shape."""

import math

import numpy as np
from numpy.typing import NDArray

from service._generated import scatonline_pb2 as pb
from service.errors import InvalidRequest

DTYPES: dict[int, np.dtype[np.generic]] = {
    pb.DTYPE_FLOAT32: np.dtype("<f4"),
    pb.DTYPE_FLOAT64: np.dtype("<f8"),
    pb.DTYPE_UINT8: np.dtype("u1"),
    pb.DTYPE_INT8: np.dtype("i1"),
    pb.DTYPE_INT16: np.dtype("<i2"),
    pb.DTYPE_UINT16: np.dtype("<u2"),
    pb.DTYPE_INT32: np.dtype("<i4"),
}
_NUMBERS = {dtype: pb.DType.ValueType(number) for number, dtype in DTYPES.items()}
_NAMES = ", ".join(dtype.name for dtype in DTYPES.values())


def to_tensor(array: NDArray[np.generic]) -> pb.Tensor:
    """Packs an array of any supported type, in C order.

    Raises:
        InvalidRequest: the array's type cannot travel.
    """
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _NUMBERS:
        raise InvalidRequest(f"array: got dtype {array.dtype}, expected one of {_NAMES}")
    return pb.Tensor(
        data=np.asarray(array, dtype=dtype).tobytes(), dtype=_NUMBERS[dtype], shape=array.shape
    )


def from_tensor(tensor: pb.Tensor, what: str) -> NDArray[np.generic]:
    """Unpacks an array as a read-only view of the message's bytes.

    Args:
        tensor: The message.
        what: Name of the field, for messages.

    Raises:
        InvalidRequest: the type is unknown, or the bytes do not fit it and the shape of an array.
    """
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        raise InvalidRequest(f"{what}: got dtype number {tensor.dtype}, expected one of {_NAMES}")
    shape = tuple(tensor.shape)
    expected = math.prod(shape) * dtype.itemsize
    if len(tensor.data) != expected:
        raise InvalidRequest(
            f"{what}: got {len(tensor.data)} bytes, expected {expected} for shape {shape} "
            f"of {dtype.name}"
        )
    try:
        return np.frombuffer(tensor.data, dtype=dtype).reshape(shape)
    except ValueError as error:
        # Hundreds of axes, or none of any length beside one that no memory holds.
        raise InvalidRequest(
            f"{what}: got the shape {shape}, expected that of an array: {error}"
        ) from None


def floats(tensor: pb.Tensor, what: str) -> NDArray[np.float32]:
    """Unpacks an array as float32 in memory of its own.

    A float64 beyond float32's range becomes infinite, which the model refuses.

    Raises:
        InvalidRequest: as :func:`from_tensor`.
    """
    array = from_tensor(tensor, what)
    if array.dtype != np.float64:
        return np.array(array, dtype=np.float32)
    with np.errstate(over="ignore"):
        return array.astype(np.float32)
