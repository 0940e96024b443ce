"""The graph of a shaped model (tensors, nodes, dims), the definitions and uses of its values, and the work of a node. It does
not depend on onnx.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from math import prod
from operator import attrgetter
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import UnknownShape

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen, slots):
        """A dataclass for objects that a model has many of. Only the type checker enforces that a frozen one does not change:
        if Python did, each object would take ten times as long to create.
        """
        return dataclass(slots=slots, unsafe_hash=frozen)


BITS: Mapping[str, int] = {
    "bool": 8, "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "uint32": 32, "int32": 32, "uint64": 64, "int64": 64,
    "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64, "complex64": 64, "complex128": 128,
    "float8e4m3fn": 8, "float8e4m3fnuz": 8, "float8e5m2": 8, "float8e5m2fnuz": 8, "float8e8m0": 8,
    "uint4": 4, "int4": 4, "float4e2m1": 4, "uint2": 2, "int2": 2,
}  # fmt: skip
"""Stored width of an element; sub-byte types are packed. Strings have no fixed width and stand for 0."""

Dim = int | str | None
UNKNOWN_SHAPE = "the shape of '{name}' is unknown"


@lru_cache(maxsize=65536)
def _elements(dims: tuple[Dim, ...] | None) -> int | None:
    """The product of the dims, None if one is open; cached, because a graph has far fewer shapes than tensors."""
    if dims is None or not all(isinstance(dim, int) for dim in dims):
        return None
    return prod(dims)  # type: ignore[arg-type]  # all are int by now


@lru_cache(maxsize=65536)
def _dense_bytes(dims: tuple[Dim, ...] | None, dtype: str) -> int | None:
    """The bytes of so many elements, None if a dim is open."""
    elements = _elements(dims)
    return None if elements is None else -(-elements * BITS.get(dtype, 0) // 8)


@record(frozen=True, slots=True)
class Tensor:
    """A value of the graph. ``dims`` holds an integer for a known dim, a name or None for an open one.

    ``is_constant`` says that it does not depend on the model's inputs: stored, or computed from what is stored. ``value``
    is the flat tuple of elements of a small tensor, in row-major order, if they are known. A sequence has its tensors as
    ``elements``, if they are known. ``is_bound`` says that data decides the shape: ``dims`` are the largest it can be.
    """

    name: str
    dtype: str
    dims: tuple[Dim, ...] | None
    is_constant: bool = False
    value: tuple[Any, ...] | None = None
    is_bound: bool = False
    elements: Elements | None = None

    @property
    def is_shaped(self) -> bool:
        """Whether every dim is known."""
        return _elements(self.dims) is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """The dims, all known; raises UnknownShape otherwise, so that a formula needs no checks."""
        if self.dims is None:
            raise UnknownShape(UNKNOWN_SHAPE.format(name=self.name))
        if not self.is_shaped:
            open_dims = [dim for dim in self.dims if not isinstance(dim, int)]
            which = ", ".join(str(dim) for dim in open_dims if dim) or f"{len(open_dims)} of {len(self.dims)} dims"
            raise UnknownShape(f"the shape of '{self.name}' is unknown ({which})")
        return self.dims  # type: ignore[return-value]  # all are int by now

    @property
    def rank(self) -> int:
        """The number of dims; raises UnknownShape if not even that is known."""
        if self.dims is None:
            raise UnknownShape(f"the rank of '{self.name}' is unknown")
        return len(self.dims)

    @property
    def size(self) -> int:
        """The number of elements; raises UnknownShape."""
        elements = _elements(self.dims)
        return prod(self.shape) if elements is None else elements

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, sub-byte types packed, of a sequence the sum of its tensors', of maps none: they hold what the
        caller reads, and no operator works on. Raises UnknownShape.
        """
        if self.elements is not None:
            return self.elements.nbytes
        known = _dense_bytes(self.dims, self.dtype)
        if known is None and self.dims is None and self.dtype.startswith(("map(", "sequence(map(")):
            return 0
        return self.size if known is None else known


class Elements(tuple[Tensor, ...]):
    """The tensors of a sequence. Their bytes are summed up once: a long sequence may be read by many nodes."""

    @cached_property
    def nbytes(self) -> int:
        """Raises UnknownShape if that of one is not known."""
        return sum(element.nbytes for element in self)


@record(frozen=True, slots=True)
class Node:
    """One instance of an operator. Absent optional inputs and outputs are None; ``attributes`` has the schema's defaults.

    ``domain`` is "" for ai.onnx; ``repeat`` is how often the node runs in one inference. ``branches`` are the bodies, by name,
    of which one runs where the graph does not say which; ``open_reason`` says why a body's nodes are not in the graph. ``idle``
    are nodes that never run, whose constants are loaded all the same.
    """

    name: str
    op_type: str
    domain: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    scope: tuple[str, ...] = ()
    repeat: int = 1
    branches: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    open_reason: str = ""
    idle: tuple[Node, ...] = ()
    key: str = field(init=False, repr=False, compare=False)
    """The operator's name in a formula table: ``Conv``, ``com.microsoft.FusedConv``."""
    reads: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The names of its inputs, in their order, without absent ones."""
    makes: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """Those of its outputs."""
    alike: int = field(init=False, repr=False, compare=False)
    """The same number for nodes that differ only in their names and in those of their tensors; 0 if it is unknown."""

    def __post_init__(self) -> None:
        self.key = f"{self.domain}.{self.op_type}" if self.domain else self.op_type  # type: ignore[misc]
        self.reads = tuple([tensor.name for tensor in self.inputs if tensor is not None])  # type: ignore[misc]
        self.makes = tuple([tensor.name for tensor in self.outputs if tensor is not None])  # type: ignore[misc]
        self.alike = 0  # type: ignore[misc]

    def input(self, index: int) -> Tensor | None:
        """The input at ``index``, or None if it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def rewire(self, inputs: Iterable[Tensor | None] | None = None, outputs: Iterable[Tensor | None] | None = None) -> Node:
        """The node with other inputs or outputs, in a sixth of the time that ``dataclasses.replace`` takes."""
        return Node(
            self.name, self.op_type, self.domain,
            self.inputs if inputs is None else tuple(inputs), self.outputs if outputs is None else tuple(outputs),
            self.attributes, self.scope, self.repeat, self.branches, self.open_reason, self.idle,
        )  # fmt: skip

    def required(self, index: int) -> Tensor:
        """The input at ``index``; raises UnknownShape if the node lacks it."""
        if (tensor := self.input(index)) is None:
            raise UnknownShape(f"input {index} is missing")
        return tensor

    @property
    def first_output(self) -> Tensor | None:
        """The first output that is present, or None without any."""
        return next((tensor for tensor in self.outputs if tensor is not None), None)

    @property
    def x(self) -> Tensor:
        """The first input."""
        return self.required(0)

    @property
    def out(self) -> Tensor:
        """The first output that is present."""
        for tensor in self.outputs:
            if tensor is not None:
                return tensor
        raise UnknownShape("the node has no output")


class BoundDim(NamedTuple):
    """A dim that the model leaves open and the value it was given. ``option`` is what changes it on the command line,
    ``places`` are the inputs, by name, and their axes that have it, ``reason`` says why an assumed dim has this value.
    """

    name: str
    value: int
    source: str  # "given" | "derived" from others | "assumed"
    option: str
    places: tuple[tuple[str, int], ...] = ()
    reason: str = ""

    @property
    def is_unnamed(self) -> bool:
        """Whether it has no symbol in the model, and goes by one of its places."""
        return self.name in {f"{name}[{axis}]" for name, axis in self.places}


LONGEST_COPIED = 100


def option_text(option: str, name: str, value: object = "N") -> str:
    """``--dim batch=N``, quoted for a shell where the model's name needs that; NAME stands for one that nobody could copy."""
    if not name.isprintable() or len(name) > LONGEST_COPIED:
        name = "NAME"
    text = f"{name}={value}"
    return f"{option} {text if name.isidentifier() else quote(text)}"


class Caveat(NamedTuple):
    """What keeps a total from being exact. ``kind``: the total is an "upper" or a "lower" bound, or it is a "note" on how
    something was counted; ``text`` is a sentence that says why, and what changes it. ``of_macs`` is False if MACs are exact
    nevertheless, because no node that it is about has any.
    """

    kind: str
    text: str
    of_macs: bool = True


@dataclass(frozen=True)
class Graph:
    """A shaped model. ``nodes`` are in execution order; ``constants`` are what the file stores: initializers and the values
    of Constant nodes, by name. ``symbolic_dims`` are the dims of values as far as a runtime knows them before a run, open ones
    by their symbols; None if it knows them all. ``unfolded`` are the constants that no runtime folds: those that
    are listed among the model's inputs, too, so that a caller may replace them, and those that loops carry unchanged.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Tensor]
    dims: tuple[BoundDim, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    path: str = ""
    producer: str = ""
    ir_version: int = 0
    opsets: Mapping[str, int] = field(default_factory=dict)
    file_bytes: int = 0
    symbolic_dims: Mapping[str, tuple[Dim, ...]] | None = None
    unfolded: frozenset[str] = frozenset()

    @cached_property
    def uses(self) -> DefUse:
        """Who defines and who reads the values of the nodes."""
        return DefUse(self.nodes, self.outputs)


class Use(NamedTuple):
    """A node that reads a value, and as which of its inputs."""

    node: Node
    place: int


class DefUse:
    """Which node defines a value and which nodes read it, by the value's name: the one index of definitions and uses.

    It is made of ``nodes`` in their order, when it is first asked, in time linear in their inputs and outputs; a list that
    changes needs a new one.
    ``returned`` are the names of what the caller reads.
    """

    def __init__(self, nodes: Iterable[Node], outputs: Iterable[Tensor] = ()) -> None:
        self.nodes = tuple(nodes)
        self.returned = frozenset(tensor.name for tensor in outputs)

    @cached_property
    def _definitions(self) -> dict[str, int]:
        return {name: position for position, node in enumerate(self.nodes) for name in node.makes}

    @cached_property
    def _positions(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for position, node in enumerate(self.nodes):
            for name in node.reads:
                if name in found:
                    found[name].append(position)
                else:
                    found[name] = [position]
        return found

    @cached_property
    def unread(self) -> Set[str]:
        """The values that are defined, and that neither a node nor the caller reads."""
        return self._definitions.keys() - self._positions.keys() - self.returned

    def definition(self, name: str) -> Node | None:
        """The node that makes the value; None for an input of the graph, or for what is stored."""
        position = self._definitions.get(name)
        return None if position is None else self.nodes[position]

    def defined_at(self, name: str) -> int | None:
        """The position of that node."""
        return self._definitions.get(name)

    def positions(self, name: str) -> Sequence[int]:
        """The positions of the nodes that read the value, rising; one that reads it twice is there twice."""
        return self._positions.get(name, ())

    def readers(self, name: str) -> list[Node]:
        """The nodes at these positions."""
        return [self.nodes[position] for position in self.positions(name)]

    def only_reader(self, name: str) -> int | None:
        """The position of the one node that reads the value; None without one, or where the caller or others read it, too."""
        positions = self._positions.get(name)
        return positions[0] if positions and positions[0] == positions[-1] and name not in self.returned else None

    def is_read(self, name: str) -> bool:
        """Whether a node or the caller reads the value."""
        return name in self._positions or name in self.returned

    def reads(self, name: str) -> list[Use]:
        """Every read of the value, in the order of the nodes and of their inputs."""
        return [
            Use(self.nodes[position], place)
            for position in dict.fromkeys(self.positions(name))
            for place, tensor in enumerate(self.nodes[position].inputs)
            if tensor is not None and tensor.name == name
        ]


@record(frozen=True, slots=True)
class Work:
    """A vector of operation counts, as Python integers, which do not overflow.

    ``macs`` are the multiply-accumulates of contractions and ``accumulators`` the independent sums they end in: a dot
    product of n terms is n MACs and 1 accumulator, that is n multiplications and n - 1 additions. ``adds`` are additions,
    subtractions and negations; ``compares`` comparisons, minima, maxima and selections by them; ``transcendentals`` exp,
    log, sqrt, pow, erf and the trigonometric and hyperbolic functions, one each. ``dequantizations`` are the operations that
    turn stored weights of few bits into floats: they are of the format, not of the model, and in none of the other counts.
    """

    macs: int = 0
    accumulators: int = 0
    bias_adds: int = 0
    adds: int = 0
    muls: int = 0
    divs: int = 0
    compares: int = 0
    transcendentals: int = 0
    dequantizations: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.macs + other.macs,
            self.accumulators + other.accumulators,
            self.bias_adds + other.bias_adds,
            self.adds + other.adds,
            self.muls + other.muls,
            self.divs + other.divs,
            self.compares + other.compares,
            self.transcendentals + other.transcendentals,
            self.dequantizations + other.dequantizations,
        )

    def __rmul__(self, times: int) -> Work:
        return Work(
            times * self.macs,
            times * self.accumulators,
            times * self.bias_adds,
            times * self.adds,
            times * self.muls,
            times * self.divs,
            times * self.compares,
            times * self.transcendentals,
            times * self.dequantizations,
        )

    def __bool__(self) -> bool:
        return self != NO_WORK

    def dot(self, weights: Mapping[str, int]) -> int:
        """The weighted sum of the counts; a kind that ``weights`` leaves out weighs 0."""
        return sum([weight * getattr(self, kind) for kind, weight in weights.items()]) if self is not NO_WORK else 0

    def to_dict(self) -> dict[str, int]:
        """The counts by name, in the order of the fields."""
        return dict(zip(KINDS, _counts(self), strict=True))


KINDS: tuple[str, ...] = tuple(field.name for field in fields(Work))
_counts = attrgetter(*KINDS)
NO_WORK = Work()


def sum_work(works: Iterable[Work]) -> Work:
    """The sum of all."""
    return Work(*map(sum, zip(*map(_counts, works), strict=True)))
