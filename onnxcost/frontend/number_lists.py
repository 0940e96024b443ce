"""Long lists of numbers in attributes, such as those of tree ensembles: read from the wire format into arrays, which take no more
memory than the lists take in the file. As repeated fields of a message they take several times as much.

An attribute with such a list keeps its type, INTS or FLOATS, and its field ``t`` holds the numbers.
"""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING

from onnxcost.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from onnx import AttributeProto

LONG = 2**16
"""Bytes of an attribute in the file, above which its lists are read so."""

NAMES = re.compile(rb"(?:nodes|target|class|leaf)_\w+|coefficients|support_vectors")
"""Of tree ensembles, linear models and support vector machines: nothing that infers a shape reads their lists."""

FLOATS_FIELD, INTS_FIELD, STRINGS_FIELD = 7, 8, 9

_TYPES = {1: "f", 6: "i", 7: "q"}
"""TensorProto's numbers of the types of arrays: float32, int32 and int64."""


class NumberList:
    """The numbers of an attribute in ``array``, which are added piece by piece: floats, or integers in 32 bits where all fit."""

    def __init__(self, field: int) -> None:
        self.array: array[float] | array[int] = array("f" if field == FLOATS_FIELD else "i")

    @property
    def data_type(self) -> int:
        """TensorProto's number of the type."""
        return next(number for number, code in _TYPES.items() if code == self.array.typecode)

    def add_tagged(self, content: bytes) -> None:
        """Numbers that each have a tag of one byte before them."""
        import numpy as np

        if self.array.typecode == "f":
            self.array.frombytes(np.frombuffer(content, np.uint8).reshape(-1, 5)[:, 1:].tobytes())
        else:
            ends = np.flatnonzero(np.frombuffer(content, np.int8) >= 0)
            self._add(_decode(content, ends[::2] + 1, ends[1::2]))

    def add_packed(self, content: bytes) -> None:
        """Numbers without tags. Raises ModelError where the last one is not complete."""
        import numpy as np

        if len(content) % 4 if self.array.typecode == "f" else content[-1:] > b"\x7f":
            raise ModelError("a list of numbers in it ends in the middle of a number")
        if self.array.typecode == "f":
            self.array.frombytes(content)
        else:
            ends = np.flatnonzero(np.frombuffer(content, np.int8) >= 0)
            self._add(_decode(content, np.concatenate(([0], ends[:-1] + 1)), ends))

    def _add(self, numbers: NDArray[np.int64]) -> None:
        if self.array.typecode == "i" and numbers.size and not -(2**31) <= numbers.min() <= numbers.max() < 2**31:
            self.array = array("q", self.array)
        self.array.frombytes(numbers.astype(f"i{self.array.itemsize}").tobytes())


def _decode(content: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The varints from ``starts`` to ``ends``, the index of their last byte."""
    import numpy as np

    data = np.frombuffer(content, np.uint8)
    values = (data[ends] & np.uint8(0x7F)).astype(np.int64)  # the highest 7 bits come last
    lengths = ends - starts
    for before in range(1, int(lengths.max(initial=0)) + 1):
        longer = np.flatnonzero(lengths >= before)
        values[longer] = values[longer] << 7 | data[ends[longer] - before] & np.uint8(0x7F)
    return values


def holds_list(attribute: AttributeProto) -> bool:
    """Whether the attribute is a list whose numbers are in its tensor."""
    return attribute.type in (attribute.INTS, attribute.FLOATS) and attribute.HasField("t")


def numbers_in(attribute: AttributeProto) -> Sequence[float]:
    """The numbers of such a list."""
    numbers: array[float] = array(_TYPES[attribute.t.data_type])
    numbers.frombytes(attribute.t.raw_data)
    return numbers


def restore_list(attribute: AttributeProto) -> None:
    """Writes such a list as ONNX does."""
    (attribute.ints if attribute.type == attribute.INTS else attribute.floats).extend(numbers_in(attribute))  # type: ignore[arg-type]
    attribute.ClearField("t")
