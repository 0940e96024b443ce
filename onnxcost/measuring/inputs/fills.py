"""How the elements of an input are made: at random, from a few that are known, from what was given, or from files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Shape = tuple[int, ...]

_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_AS_NUMPY = frozenset({"bool", "float16", "float32", "float64", *_INTEGERS})
_BY_NUMBER: Mapping[str, tuple[str, int]] = {
    "bfloat16": ("bfloat16", 16),
    "float8e4m3fn": ("float8_e4m3fn", 17),
    "float8e4m3fnuz": ("float8_e4m3fnuz", 18),
    "float8e5m2": ("float8_e5m2", 19),
    "float8e5m2fnuz": ("float8_e5m2fnuz", 20),
}
"""Types that numpy lacks: ml_dtypes' names for them, and the numbers by which onnxruntime takes their bits."""

FEEDABLE = _AS_NUMPY | _BY_NUMBER.keys() | {"string"}
"""The types that onnxruntime's Python interface takes arrays of."""


class Fill(Protocol):
    """Makes the arrays of an input, one for each set of inputs that the runs cycle through."""

    def arrays(self, shape: Shape, dtype: np.dtype[Any], random: np.random.Generator) -> list[NDArray[Any]]:
        """The arrays, of this shape and type."""


class Uniform(NamedTuple):
    """Numbers between 0 and 1. None is so small that it is denormal: many processors are slow on those."""

    def arrays(self, shape: Shape, dtype: np.dtype[Any], random: np.random.Generator) -> list[NDArray[Any]]:
        """Drawn in the type itself where it is a wide one, else rounded to it."""
        import numpy as np
        from ml_dtypes import finfo

        drawn = random.random(shape, np.float64 if dtype == np.float64 else np.float32)
        smallest = finfo(dtype).smallest_normal  # type: ignore[no-untyped-call]
        return [np.asarray(np.maximum(drawn.astype(dtype), smallest))]


class Integers(NamedTuple):
    """Whole numbers from ``low`` to below ``high``."""

    low: int
    high: int

    def arrays(self, shape: Shape, dtype: np.dtype[Any], random: np.random.Generator) -> list[NDArray[Any]]:
        """Drawn as int64, whatever the type, so that the same numbers come in every type."""
        import numpy as np

        return [np.asarray(random.integers(self.low, self.high, shape), dtype)]


class Repeated(NamedTuple):
    """The same few elements, in order and from the start again."""

    elements: tuple[Any, ...]

    def arrays(self, shape: Shape, dtype: np.dtype[Any], random: np.random.Generator) -> list[NDArray[Any]]:
        """As many of them as the shape holds."""
        import numpy as np

        return [np.resize(np.array(self.elements, dtype), shape)]


class Given(NamedTuple):
    """A value that the user gave; a single number fits any shape of one element."""

    value: Any

    def arrays(self, shape: Shape, dtype: np.dtype[Any], random: np.random.Generator) -> list[NDArray[Any]]:
        """The one array."""
        return [self.value.astype(dtype).reshape(shape)]


class Files(NamedTuple):
    """Arrays in .npy files or, under ``name`` or alone, in .npz files."""

    paths: tuple[str, ...]
    name: str

    def arrays(self, shape: Shape, dtype: np.dtype[Any], random: np.random.Generator) -> list[NDArray[Any]]:
        """One array for each file."""
        from onnxcost.measuring.inputs.files import load

        loaded = (load(path, self.name) for path in self.paths)
        return [array.view(dtype) if array.dtype.kind == "V" else array.astype(dtype, order="C") for array in loaded]


def numpy_type(dtype: str) -> np.dtype[Any]:
    """The type of the arrays that an input of a FEEDABLE type is made as."""
    import numpy as np

    if dtype in _BY_NUMBER:
        import ml_dtypes

        dtype = getattr(ml_dtypes, _BY_NUMBER[dtype][0])
    return np.dtype(object if dtype == "string" else dtype)


def fits(stored: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether arrays stored as one type can be fed as the other and keep their values."""
    import numpy as np

    if wanted.kind == "O":
        return stored.kind == "U"
    # numpy stores the types that it lacks as bytes without a meaning.
    return np.can_cast(stored, wanted, "safe") or (stored.kind == "V" and stored.itemsize == wanted.itemsize)


def as_fed(array: NDArray[Any], dtype: str) -> Any:
    """What ``InferenceSession.run`` takes: the array itself or, of a type that numpy lacks, an OrtValue on its bits."""
    if dtype not in _BY_NUMBER:
        return array
    from onnxcost.measuring.session import onnxruntime

    return onnxruntime().OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(f"u{array.itemsize}"), _BY_NUMBER[dtype][1])
