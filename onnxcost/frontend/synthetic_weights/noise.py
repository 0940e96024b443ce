"""Elements for absent weights: seeded, of any type, and fast to create, because all tensors use one block of noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from zlib import crc32

from onnxcost.graph import BITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


BLOCK = 1_048_573
"""Elements after which the noise repeats: a prime, so that rows of a matrix differ."""
WIDEST = 4.0
"""The noise is normal with variance 1, clipped at this distance from 0."""


class Spread(NamedTuple):
    """Elements normally distributed around ``center``; ``packed`` is their type if one element of the tensor holds several."""

    center: float
    deviation: float
    packed: str = ""


class Indices(NamedTuple):
    """Whole numbers from 0 to below ``limit``, in any order."""

    limit: int


class Positions(NamedTuple):
    """``many`` distinct positions in a tensor of these dims, in order: flat or, ``by_axis``, with an index for each axis."""

    dims: tuple[int, ...]
    many: int
    by_axis: bool = False


class Alternating(NamedTuple):
    """Alternately false and true, so that each row of a mask has both."""


Filling: TypeAlias = Spread | Indices | Positions | Alternating

CODES: Mapping[str, Spread] = {
    "int2": Spread(0, 0.8), "uint2": Spread(2, 0.8), "int4": Spread(0, 2.5), "uint4": Spread(8, 2.5),
    "int8": Spread(0, 32), "uint8": Spread(128, 32), "int16": Spread(0, 8192), "uint16": Spread(32768, 8192),
    "int32": Spread(0, 100), "float4e2m1": Spread(0, 2), "float8e4m3fn": Spread(0, 112), "float8e4m3fnuz": Spread(0, 60),
    "float8e5m2": Spread(0, 14336), "float8e5m2fnuz": Spread(0, 14336),
}  # fmt: skip
"""How the elements of quantized weights are spread over the range of their type; int32 is for biases, far from its limits."""

_FORMATS: Mapping[str, tuple[int, int, int]] = {
    "float4e2m1": (1, 1, 7), "float8e4m3fn": (3, 7, 126), "float8e4m3fnuz": (3, 8, 127),
    "float8e5m2": (2, 15, 123), "float8e5m2fnuz": (2, 16, 127),
}  # fmt: skip
"""Of floats of 8 bits or less: the bits of the mantissa, the bias of the exponent, the code of the largest finite number."""


def generate_bytes(filling: Filling, dtype: str, count: int, name: str, seed: int) -> Iterator[memoryview]:
    """The bytes of ``count`` elements as ONNX stores them, piece by piece; the same for the same name and seed."""
    import numpy as np

    key = crc32(name.encode())
    match filling:
        case Indices(limit):
            yield _bytes(np.random.default_rng([seed, key]).integers(0, limit, count).astype(dtype))
        case Positions(dims, many, by_axis):
            positions = np.arange(many) * prod(dims) // max(many, 1)
            yield _bytes((np.transpose(np.unravel_index(positions, dims)) if by_axis else positions).astype(dtype))
        case Alternating():
            yield _bytes(np.arange(count) % 2 == 0)
        case Spread(center, deviation, packed):
            bits = BITS[packed or dtype]
            count = count * BITS[dtype] // bits
            block = _bytes(_encode(center + deviation * _noise(seed, key % BLOCK, count), packed or dtype))
            whole, rest = divmod(-(-count * bits // 8), max(len(block), 1))
            yield from [block] * whole
            yield block[:rest]


def _bytes(array: NDArray[Any]) -> memoryview:
    import numpy as np

    return np.ascontiguousarray(array).reshape(-1).view("u1").data


@lru_cache(maxsize=1)
def _block(seed: int) -> NDArray[np.float32]:
    import numpy as np

    return np.random.default_rng(seed).standard_normal(BLOCK, np.float32).clip(-WIDEST, WIDEST)


def _noise(seed: int, start: int, count: int) -> NDArray[np.float32]:
    """``count`` elements of the noise from ``start`` on, at most one whole block."""
    import numpy as np

    block, end = _block(seed), start + min(count, BLOCK)
    return block[start:end] if end <= BLOCK else np.concatenate((block[start:], block[: end - BLOCK]))


def _encode(values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """The elements in their type, those of less than 8 bits packed, the first in the lowest bits."""
    import numpy as np

    if "int" in dtype:
        span = 2.0 ** BITS[dtype]
        values = np.rint(values).clip(*((0, span - 1) if dtype.startswith("u") else (-span / 2, span / 2 - 1)))
    match dtype:
        case "bfloat16":
            encoded = (values.view("u4") >> 16).astype("u2")
        case "float8e8m0":
            encoded = (np.rint(np.log2(np.abs(values).clip(2.0**-126))) + 127).astype("u1")
        case "float16":
            least = np.finfo("f2").smallest_normal
            encoded = np.where(np.abs(values) < least, np.copysign(least, values) * (values != 0), values).astype("f2")
        case _ if dtype in _FORMATS:
            encoded = _small_floats(values, dtype)
        case _:
            encoded = values.astype(dtype if BITS[dtype] >= 8 else "i1")
    return _pack(encoded.view("u1"), BITS[dtype]) if BITS[dtype] < 8 else encoded


def _small_floats(values: NDArray[np.float32], dtype: str) -> NDArray[np.uint8]:
    """The codes nearest to the values, except for denormals and infinities."""
    import numpy as np

    mantissa, bias, last = _FORMATS[dtype]
    codes = np.arange(1 << mantissa, last + 1)
    numbers = (1 + (codes % (1 << mantissa)) / (1 << mantissa)) * 2.0 ** ((codes >> mantissa) - bias)
    nearest = codes[np.searchsorted((numbers[1:] + numbers[:-1]) / 2, np.abs(values))]
    return (nearest | np.signbit(values) << BITS[dtype] - 1).astype("u1")


def _pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    import numpy as np

    several = 8 // bits
    groups = np.resize(codes & (1 << bits) - 1, (-(-len(codes) // several), several))
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(groups << np.arange(0, 8, bits, dtype="u1"), axis=1)
    return packed
