"""Long lists in attributes, such as those of tree ensembles: read from the wire format into arrays, which take about as much
memory as in the file. As repeated fields of a message they take several times as much.

An attribute with such a list keeps its type, INTS, FLOATS or STRINGS. Its field ``t`` holds the numbers; for strings, these are
positions among the different ones, which are in ``strings``.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from onnxcost.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import AttributeProto

LONG = 2**16
"""Bytes of an attribute in the file, above which its list is read so."""

NAMES = re.compile(rb"(?:nodes|target|class|leaf)_\w+|coefficients|support_vectors")
"""Of tree ensembles, linear models and support vector machines: nothing that infers a shape reads their lists."""

FLOATS, INTS, STRINGS = 7, 8, 9
"""The fields of AttributeProto."""

_SHORT_STRING = rb"\x4a(?:" + b"|".join(b"\\x%02x.{%d}" % (size, size) for size in range(24)) + rb")"


# Functions, because few models need them, and to compile them takes 3 ms.
@cache
def tagged() -> re.Pattern[bytes]:
    """Floats, integers or short strings, one after the other, each with its tag."""
    return re.compile(rb"(?:\x3d.{4})++|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++|(?:" + _SHORT_STRING + rb")++", re.DOTALL)


@cache
def short_string() -> re.Pattern[bytes]:
    """One of these strings."""
    return re.compile(_SHORT_STRING, re.DOTALL)


_TYPES = {1: "f", 6: "i", 7: "q"}
"""TensorProto's numbers of the types of arrays: float32, int32 and int64."""


class LongList:
    """The elements of an attribute in ``array``: floats, integers (in 32 bits where all fit), or positions in ``strings``."""

    def __init__(self, field: int) -> None:
        self.field = field
        self.array: array[float] | array[int] = array("f" if field == FLOATS else "i")
        self.strings: dict[bytes, int] = {}

    @property
    def data_type(self) -> int:
        """TensorProto's number of the type."""
        return next(number for number, code in _TYPES.items() if code == self.array.typecode)

    def add_tagged(self, content: bytes) -> None:
        """Adds what ``tagged`` matches."""
        import numpy as np

        if self.field == STRINGS:
            self.array.extend(
                [self.strings.setdefault(each[2:], len(self.strings)) for each in short_string().findall(content)]
            )
        elif self.field == FLOATS:
            self.array.frombytes(np.frombuffer(content, np.uint8).reshape(-1, 5)[:, 1:].tobytes())
        else:
            ends = np.flatnonzero(np.frombuffer(content, np.int8) >= 0)
            self._add(_decode(content, ends[::2] + 1, ends[1::2]))

    def add_payload(self, content: bytes) -> None:
        """Adds a string, or numbers without tags. Raises ModelError if the last one is incomplete."""
        import numpy as np

        if self.field == STRINGS:
            self.array.append(self.strings.setdefault(content, len(self.strings)))
        elif len(content) % 4 if self.field == FLOATS else content[-1:] > b"\x7f":
            raise ModelError("a list of numbers in it ends in the middle of a number")
        elif self.field == FLOATS:
            self.array.frombytes(content)
        else:
            ends = np.flatnonzero(np.frombuffer(content, np.int8) >= 0)
            self._add(_decode(content, np.concatenate(([0], ends[:-1] + 1)), ends))

    def _add(self, numbers: NDArray[np.int64]) -> None:
        if self.array.typecode == "i" and numbers.size and not -(2**31) <= numbers.min() <= numbers.max() < 2**31:
            self.array = array("q", self.array)
        self.array.frombytes(numbers.astype(f"i{self.array.itemsize}").tobytes())


def _decode(content: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The varints from ``starts`` to ``ends``, the positions of their last bytes."""
    import numpy as np

    data = np.frombuffer(content, np.uint8)
    values = (data[ends] & np.uint8(0x7F)).astype(np.int64)  # the highest 7 bits come last
    lengths = ends - starts
    for before in range(1, int(lengths.max(initial=0)) + 1):
        longer = np.flatnonzero(lengths >= before)
        values[longer] = values[longer] << 7 | data[ends[longer] - before] & np.uint8(0x7F)
    return values


def holds_list(attribute: AttributeProto) -> bool:
    """Whether the attribute is a list whose elements are in its tensor."""
    return attribute.type in (attribute.INTS, attribute.FLOATS, attribute.STRINGS) and attribute.HasField("t")


def numbers_in(attribute: AttributeProto) -> Sequence[Any]:
    """The numbers of such a list; of one of strings the positions among the different ones."""
    numbers: array[Any] = array(_TYPES[attribute.t.data_type])
    numbers.frombytes(attribute.t.raw_data)
    return numbers


def restore_list(attribute: AttributeProto) -> None:
    """Writes such a list as ONNX does."""
    if attribute.type == attribute.STRINGS:
        strings = attribute.strings[:]
        attribute.strings[:] = [strings[position] for position in numbers_in(attribute)]
    else:
        (attribute.ints if attribute.type == attribute.INTS else attribute.floats).extend(numbers_in(attribute))
    attribute.ClearField("t")
