"""Elements of stored tensors, against onnx's own reading."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxcost.frontend.values import array_of, elements_in

TYPES = [
    "float32",
    "float64",
    "float16",
    "bool",
    "complex64",
    "complex128",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("dims", [(3,), (2, 3), (), (0,)])
def test_elements_are_those_that_onnx_reads(dtype: str, dims: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(dims, dtype=int)) * 3 % 5).reshape(dims).astype(dtype)
    for tensor in (
        numpy_helper.from_array(array, "t"),
        helper.make_tensor("t", helper.np_dtype_to_tensor_dtype(array.dtype), dims, array.ravel()),
    ):
        assert elements_in(tensor) == tuple(array.ravel().tolist())
        assert all(
            type(each) is type(other) for each, other in zip(elements_in(tensor) or (), array.ravel().tolist(), strict=True)
        )


def test_what_is_damaged_or_elsewhere_has_no_elements() -> None:
    short = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[3], raw_data=bytes(8))
    elsewhere = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for tensor in (short, elsewhere):
        assert elements_in(tensor) is None
        assert array_of(tensor) is None
