"""numpy and the reference evaluator's checks of types, made to take counting scalars. No operator's arithmetic is touched."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import numpy as np
import onnx
from onnx.reference.ops import op_cast_like
from onnx.reference.ops._op import OpRunBinary, OpRunBinaryNum

from tests.oracle.scalars import Scalar, counting


class CountingArray(np.ndarray):
    """An object array that stays one, with its scalars, through numpy's functions and through casts."""

    def astype(self, *_: object, **__: object) -> CountingArray:
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = UFUNCS.get(ufunc) or getattr(ufunc, method)
        if "out" in kwargs:
            kwargs["out"] = tuple(map(bare, kwargs["out"]))
        with np.errstate(all="ignore"):
            return counted_array(function(*map(bare, inputs), **kwargs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return counted_array(super().__array_function__(func, types, args, kwargs))


def bare(array: Any) -> Any:
    return array.view(np.ndarray) if isinstance(array, CountingArray) else array


def is_object(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == object


def counted_array(result: Any) -> Any:
    """The result with its object arrays as counting arrays."""
    if isinstance(result, list | tuple):
        return type(result)(map(counted_array, result))
    return result.view(CountingArray) if is_object(result) else result


def elementwise(function: Callable[[Any], Any]) -> Callable[..., Any]:
    apply = np.frompyfunc(function, 1, 1)
    return lambda array: counted_array(apply(bare(array)))


def logaddexp(a: Any, b: Any) -> Any:
    """log(exp(a) + exp(b)); the exponential of a plain number is a constant."""
    exp = elementwise(lambda x: x.exp() if isinstance(x, Scalar) else math.exp(x))
    return np.log(exp(a) + exp(b))


def test_of(function: Callable[[float], bool]) -> Callable[..., Any]:
    """isnan or isinf: no scalar is, what pads an array may be. Not counted."""
    test = elementwise(lambda x: not isinstance(x, Scalar) and function(x))
    return lambda array: np.asarray(test(array)).astype(bool)


UFUNCS: Mapping[np.ufunc, Callable[..., Any]] = {
    np.logaddexp: logaddexp,
    np.reciprocal: lambda array: 1 / array,
    np.isnan: test_of(math.isnan),
    np.isinf: test_of(math.isinf),
    np.signbit: test_of(lambda x: x < 0),
}
"""numpy's functions that have no loop for objects, or that would not see the scalars in one."""


def for_objects(name: str, ours: Callable[..., Any]) -> Any:
    """numpy's function of that name, but ours for an object array."""
    original = getattr(np, name)
    return mock.patch.object(
        np, name, lambda x, *args, **kw: ours(x) if is_object(x) or isinstance(x, Scalar) else original(x, *args, **kw)
    )


def same_type(run: Callable[..., Any]) -> Callable[..., Any]:
    """The evaluator's operators want one type for both operands: constants become objects beside scalars."""

    def method(self: Any, x: Any, y: Any) -> Any:
        x, y = (each.astype(object) if is_object(x) or is_object(y) else each for each in (x, y))
        return run(self, x, y)

    return method


NUMPY_ZEROS = np.zeros


def zeros_for_scalars(shape: Any, dtype: Any = object, **kwargs: Any) -> np.ndarray:
    """Zeros that scalars can take the places of, unless they are to be integers or truths."""
    takes_scalars = np.dtype(dtype).kind in "fO"
    made = NUMPY_ZEROS(shape, object if takes_scalars else dtype, **kwargs)
    return made.view(CountingArray) if takes_scalars else made


@contextlib.contextmanager
def numpy_on_scalars() -> Iterator[None]:
    """Let numpy, and the evaluator's checks and casts of types, take scalars for numbers."""
    patches = [
        for_objects("isnan", UFUNCS[np.isnan]),
        for_objects("isinf", UFUNCS[np.isinf]),
        for_objects("isneginf", test_of(lambda x: x == -math.inf)),
        mock.patch.object(np, "zeros", zeros_for_scalars),
        mock.patch.object(np, "vectorize", lambda function, **_: elementwise(counting("transcendentals", function))),
        mock.patch.object(op_cast_like, "_cast_like", lambda x, y, saturate: (x,)),
        mock.patch.object(onnx.numpy_helper, "saturate_cast", lambda x, dtype: x),
        *(mock.patch.object(each, "run", same_type(each.run)) for each in (OpRunBinary, OpRunBinaryNum)),
    ]
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield
