"""Arrays survive the wire; what is not an array is refused with what was expected."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from service._generated import scatonline_pb2 as pb
from service.errors import InvalidRequest
from service.wire import DTYPES, floats, from_tensor, to_tensor

arrays = st.sampled_from(list(DTYPES.values())).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=3, max_side=5))
)


@given(arrays)
def test_round_trip_keeps_type_shape_and_every_bit(array: NDArray[np.generic]) -> None:
    message = pb.Tensor.FromString(to_tensor(array).SerializeToString())
    back = from_tensor(message, "x")
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


@given(arrays)
def test_byte_order_and_memory_layout_do_not_matter(array: NDArray[np.generic]) -> None:
    swapped = array.astype(array.dtype.newbyteorder(">"), order="F")
    assert to_tensor(swapped) == to_tensor(array)


def test_floats_own_their_memory() -> None:
    values = floats(to_tensor(np.arange(6, dtype=np.uint8).reshape(2, 3)), "x")
    values += 0.5
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]])


def test_a_float64_beyond_float32_becomes_infinite() -> None:
    assert np.isinf(floats(to_tensor(np.array([1e300])), "x")).all()


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (pb.Tensor(data=b"\0" * 7, dtype=pb.DTYPE_FLOAT32, shape=[2]), "got 7 bytes, expected 8"),
        (pb.Tensor(data=b"\0" * 8, shape=[2]), "got dtype number 0, expected one of float32"),
        (pb.Tensor(data=b"", dtype=pb.DTYPE_FLOAT64, shape=[2**31, 2**31]), "got 0 bytes"),
        (pb.Tensor(data=b"\0", dtype=pb.DTYPE_UINT8, shape=[1] * 200), "of an array: maximum"),
        (pb.Tensor(dtype=pb.DTYPE_UINT8, shape=[0, *[2**32 - 1] * 3]), "of an array: array is too"),
    ],
)
def test_a_malformed_tensor_is_refused(tensor: pb.Tensor, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        from_tensor(tensor, "input")


@pytest.mark.parametrize("dtype", [np.int64, np.complex64, np.bool_, "U3"])
def test_a_type_that_cannot_travel_is_refused(dtype: str) -> None:
    with pytest.raises(InvalidRequest, match="expected one of float32, float64, uint8"):
        to_tensor(np.zeros(3, dtype=dtype))
