"""The elements that the user gives for inputs: they decide shapes and branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxcost.errors import InputError

if TYPE_CHECKING:
    from onnx import TensorProto, ValueInfoProto


def given_values(inputs: Sequence[ValueInfoProto], values: Mapping[str, Any]) -> dict[str, TensorProto]:
    """The user's values as tensors of the inputs' types."""
    if not values:
        return {}
    import numpy as np
    from onnx.helper import tensor_dtype_to_np_dtype
    from onnx.numpy_helper import from_array

    types = {info.name: info.type.tensor_type.elem_type for info in inputs}
    tensors = {}
    for name, value in values.items():
        if name not in types:
            raise InputError(f"the model has no input '{name}': it has {', '.join(map(repr, types)) or 'none'}")
        try:
            array = np.asarray(value).astype(tensor_dtype_to_np_dtype(types[name]))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"the value given for input '{name}' does not fit its type: {error}") from None
        tensors[name] = from_array(array, name)
    return tensors


def take_shapes(inputs: Sequence[ValueInfoProto], given: Mapping[str, TensorProto]) -> None:
    """A value fixes the shape of its input; a single number fits any input of one element."""
    for info in inputs:
        if (tensor := given.get(info.name)) is None:
            continue
        shape = info.type.tensor_type.shape
        if len(tensor.dims) < len(shape.dim) and all(size == 1 for size in tensor.dims):
            del tensor.dims[:]
            tensor.dims.extend([1] * len(shape.dim))
        declared = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in shape.dim]
        fits = len(declared) == len(tensor.dims) and all(d in (None, t) for d, t in zip(declared, tensor.dims, strict=False))
        if info.type.tensor_type.HasField("shape") and not fits:
            raise InputError(
                f"the value given for input '{info.name}' has the shape {list(tensor.dims)}, the model has {declared}"
            )
        for dim, size in zip(shape.dim, tensor.dims, strict=False):
            dim.dim_value = size
