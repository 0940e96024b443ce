"""Synthetic inputs: the role of an input by its uses, name and type, and the elements that it is filled with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from onnxcost.formulas import CONTROL_FLOW
from onnxcost.graph import BITS, DefUse, Graph, Node, Tensor
from onnxcost.operators.inputs import role_of
from onnxcost.operators.rules import Numbers
from onnxcost.operators.traits import CASTS, ELEMENTS_FROM, VIEWS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Shape = tuple[int, ...]


_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_AS_NUMPY = frozenset({"bool", "float16", "float32", "float64", *_INTEGERS})
NUMBERED: Mapping[str, tuple[str, int]] = {
    "bfloat16": ("bfloat16", 16),
    "float8e4m3fn": ("float8_e4m3fn", 17),
    "float8e4m3fnuz": ("float8_e4m3fnuz", 18),
    "float8e5m2": ("float8_e5m2", 19),
    "float8e5m2fnuz": ("float8_e5m2fnuz", 20),
}
"""Types that numpy lacks: ml_dtypes' names for them, and the numbers by which onnxruntime takes their bits."""

FEEDABLE = _AS_NUMPY | NUMBERED.keys() | {"string"}
"""The types of arrays that onnxruntime's Python interface accepts."""


class Fill(Protocol):
    """Creates the arrays of an input, one for each set of inputs that the runs cycle through."""

    def arrays(self, shape: Shape, dtype: np.dtype[Any], random: np.random.Generator) -> list[NDArray[Any]]:
        """The arrays, of this shape and type."""


class Uniform(NamedTuple):
    """Numbers between 0 and 1, none of them denormal: many processors are slow on those."""

    def arrays(self, shape: Shape, dtype: np.dtype[Any], random: np.random.Generator) -> list[NDArray[Any]]:
        """Drawn as float64 for float64, else as float32, and rounded to the type."""
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
        """Drawn as int64, so that the numbers are the same in every type."""
        import numpy as np

        return [np.asarray(random.integers(self.low, self.high, shape), dtype)]


class Repeated(NamedTuple):
    """A few elements, repeated."""

    elements: tuple[Any, ...]

    def arrays(self, shape: Shape, dtype: np.dtype[Any], random: np.random.Generator) -> list[NDArray[Any]]:
        """As many of them as the shape holds."""
        import numpy as np

        return [np.resize(np.array(self.elements, dtype), shape)]


class GivenValue(NamedTuple):
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
        from onnxcost.spec import load_array

        loaded = (load_array(path, self.name) for path in self.paths)
        return [array.view(dtype) if array.dtype.kind == "V" else array.astype(dtype, order="C") for array in loaded]


def numpy_type(dtype: str) -> np.dtype[Any]:
    """The type of the arrays that an input of a FEEDABLE type is made as."""
    import numpy as np

    if dtype in NUMBERED:
        import ml_dtypes

        dtype = getattr(ml_dtypes, NUMBERED[dtype][0])
    return np.dtype(object if dtype == "string" else dtype)


def fits(stored: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether arrays stored as one type can be fed as the other and keep their values."""
    import numpy as np

    if wanted.kind == "O":
        return stored.kind == "U"
    # numpy stores the types that it lacks as bytes without a meaning.
    return np.can_cast(stored, wanted, "safe") or (stored.kind == "V" and stored.itemsize == wanted.itemsize)


_SAME = VIEWS | CASTS
"""Operators that pass on all elements of their first input, in their order."""
_SIGNS: Mapping[str, int] = {"Add": 1, "Sub": -1}


class InputUse(NamedTuple):
    """A node that reads an input's elements; ``place`` is the index among the node's own inputs.

    ``shift`` has been added to the elements before; ``is_whole`` says that it reads all of them, in their order.
    """

    node: Node
    place: int
    shift: int
    is_whole: bool


def index_uses(graph: Graph) -> DefUse:
    """The readers of each value, also in bodies and branches, the last node first."""
    nodes, waiting = list[Node](), list(graph.nodes)
    while waiting:
        nodes.append(node := waiting.pop())
        waiting += [inner for branch in node.branches.values() for inner in branch]
    return DefUse(nodes)


def find_input_uses(name: str, uses: DefUse) -> Iterator[InputUse]:
    """The nodes that read the value, directly or through nodes that pass its elements on."""
    waiting, seen = [(name, 0, True)], {name}
    while waiting:
        name, shift, is_whole = waiting.pop()
        for node, place in uses.reads(name):
            yield InputUse(node, place, shift, is_whole)
            shifts = _shift(node, place)
            for output in _outputs_with(node, place) if shifts is not None else ():
                if output is not None and output.name not in seen:
                    seen.add(output.name)
                    waiting.append((output.name, shift + (shifts or 0), is_whole and node.key in _SAME))


def _outputs_with(node: Node, place: int) -> Sequence[Tensor | None]:
    """The outputs that hold elements of the input."""
    if node.key in CONTROL_FLOW:
        # It passes on the outputs of its body at the same index; nothing if the branch is unknown.
        return node.outputs[place : place + 1] if not node.branches else ()
    if place not in ELEMENTS_FROM.get(node.key, ()):
        return ()
    return node.outputs if node.key == "Split" else node.outputs[:1]


def _shift(node: Node, place: int) -> int | None:
    """The largest number that the node adds to the elements of the input; None if unknown."""
    if node.key not in _SIGNS:
        return 0
    other = node.required(1 - place)
    return int(max(_SIGNS[node.key] * element for element in other.value)) if other.value else None


SAMPLE_RATE = 16_000


class Role(NamedTuple):
    """How an input is filled, and the same in words."""

    fill: Fill
    text: str


class Input(NamedTuple):
    """An input, its uses, and how many indices are valid in all tables that it indexes, None if in none."""

    tensor: Tensor
    shape: tuple[int, ...]
    graph: Graph
    uses: Sequence[InputUse]
    limit: int | None

    @property
    def is_integer(self) -> bool:
        """Whether its elements are whole numbers."""
        return "int" in self.tensor.dtype


def choose_role(tensor: Tensor, shape: tuple[int, ...], graph: Graph, uses: Sequence[InputUse]) -> Role:
    """The role of an input of this shape; ``uses`` are all uses of it."""
    counts = ((role_of(use.node, use.place).count_indices(use.node), use.shift) for use in uses)
    limits = [count - shift for count, shift in counts if count is not None]
    own = Input(tensor, shape, graph, uses, max(1, min(limits)) if limits else None)
    return next(found for rule in (_role_by_operator, _role_by_name, _indices, _by_type) if (found := rule(own)) is not None)


def _role_by_operator(own: Input) -> Role | None:
    for use in own.uses:
        numbers = role_of(use.node, use.place).find_numbers(use.node) if use.is_whole else None
        if numbers is not None and own.tensor.dtype != "string" and len(numbers) in (1, prod(own.shape)):
            return Role(Repeated(numbers), f"{_list_numbers(numbers)} for {use.node.op_type}")
    return None


def _list_numbers(numbers: Numbers) -> str:
    return ", ".join(map(str, numbers[:4])) + (", …" if len(numbers) > 4 else "")


def _role_by_name(own: Input) -> Role | None:
    for pattern, makes, what in NAMES:
        if re.search(pattern, own.tensor.name) and (numbers := makes(own)):
            if own.limit is not None:
                numbers = tuple(number % own.limit for number in numbers)
            return Role(Repeated(numbers), f"{what} {_list_numbers(numbers)}")
    return None


def _lengths(own: Input) -> Numbers:
    """The length of the input with the most similar name: its largest open dim after the batch, else its second dim."""
    others = [tensor for tensor in own.graph.inputs if tensor.is_shaped and tensor.rank > 1 and tensor is not own.tensor]
    if not (own.is_integer and prod(own.shape) == max(own.shape, default=1) and others):
        return ()
    owner = max(others, key=lambda tensor: len(commonprefix([tensor.name, own.tensor.name])))  # noqa: RUF071  # no paths
    is_open = {axis for bound in own.graph.dims for name, axis in bound.places if name == owner.name and axis}
    return (max((owner.shape[axis] for axis in is_open), default=owner.shape[1]),)


def _sides(own: Input) -> Numbers:
    """Height and width of the first input that is an image."""
    images = [tensor.shape for tensor in own.graph.inputs if tensor.is_shaped and tensor.rank == 4]
    if not images or own.shape[-1:] != (2,):
        return ()
    return images[0][1:3] if images[0][3] in (1, 3, 4) else images[0][2:]


NAMES: Sequence[tuple[str, Callable[[Input], Numbers], str]] = (
    (r"(?i)mask", lambda own: (1,) if own.tensor.dtype != "string" else (), "mask of"),
    (
        r"(?i)position|(?<![a-z])pos(?![a-z])",
        lambda own: tuple(range(own.shape[-1])) if own.is_integer and own.shape else (),
        "positions",
    ),
    (r"(?i)^sr$|sampl\w*_?rate", lambda own: (SAMPLE_RATE,) if prod(own.shape) == 1 else (), "sample rate"),
    (r"(?i)len(gth)?s?(?![a-z])", _lengths, "length"),
    (r"(?i)size|im(age)?_?shape", _sides, "sides of the image"),
    (r"(?i)(?<![a-z])scale(s|_?factor)?(?![a-z])", lambda own: (1,) if len(own.shape) < 3 else (), "scale"),
    (r"(?i)counts?(?![a-z])|dur(ation)?s?(?![a-z])", lambda own: (1,) if own.is_integer and own.shape else (), "count"),
    (r"(?i)zero_?point", lambda own: (0,) if own.is_integer else (), "zero point"),
)
"""Patterns of names, the elements that they suggest, and these in words; the first that gives any elements counts."""


def _indices(own: Input) -> Role | None:
    if own.limit is None:
        return None
    highest = 1 << (BITS.get(own.tensor.dtype, 64) - own.tensor.dtype.startswith("int"))
    limit = min(own.limit, highest) if own.is_integer else own.limit
    return Role(Integers(0, limit), f"indices below {limit}")


def _by_type(own: Input) -> Role:
    dtype = own.tensor.dtype
    if dtype == "string":
        return Role(Repeated(("word",)), "words")
    if dtype == "bool":
        return Role(Repeated((True,)), "true")
    if not own.is_integer:
        return Role(Uniform(), "numbers between 0 and 1")
    if any(role_of(use.node, use.place).name == "divisor" for use in own.uses):
        return Role(Repeated((1,)), "divisor 1")
    if dtype in ("int8", "uint8"):
        low = -128 if dtype == "int8" else 0
        return Role(Integers(low, low + 256), f"integers from {low} to {low + 255}")
    if prod(own.shape) == 1:
        return Role(Repeated((1,)), "1")
    return Role(Integers(0, 2), "zeros and ones")
