"""The data of the walk over a graph: values with their types and, if small and constant, their elements; and steps, with their
executions in a traced run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import ModelError

if TYPE_CHECKING:
    from onnx import AttributeProto, TensorProto, TensorShapeProto, TypeProto

    from onnxcost.frontend.stored_graphs import StoredNode


Dims = tuple[int | str | None, ...]
TensorType = tuple[str, tuple[int, ...]]
"""An element type and the dims."""
MAX_RANK = 64
"""The rank limit of numpy, whose arrays hold all tensors that can be run."""
MANY = 100_000
"""Tensors of the longest sequence that is followed."""
HELD = 1_000_000
"""The most tensors in the sequences of a model in total; after that, sequences are not followed further."""


@dataclass(slots=True, eq=False)
class Value:
    """One value of the model under a name that is unique in the whole walk.

    ``signature`` is the type as bytes: equal for equal types. ``dims`` are those of ``type`` as far as they are known, None
    where not even the rank is or where it is no tensor; ``is_bound`` says that data decides them and these are the largest.
    ``tensor`` holds the elements if they are stored or folded; ``folds_from`` is the step that can still compute them,
    ``same_as`` the value with the same elements: passed on by control flow, or computed by an equal node. A sequence has its
    tensors as ``elements``, an optional its ``content``, where known. Values of the same ``kind`` are alike for every node that
    reads them; 0 says that the walk is not past the value.
    """

    name: str
    type: TypeProto | None = None
    dims: Dims | None = None
    is_shaped: bool = False
    signature: bytes = b""
    is_constant: bool = False
    is_bound: bool = False
    tensor: TensorProto | None = None
    folds_from: Step | None = None
    same_as: Value | None = None
    elements: tuple[Value, ...] | None = None
    content: Value | None = None
    kind: int = 0

    def learn(self, type_: TypeProto) -> None:
        """Adopts a type; one with all dims known, or one that is not a tensor, is final.

        Raises ModelError for a tensor of more dims than any runtime has.
        """
        self.signature = type_.SerializeToString()
        self.type, self.dims, self.is_shaped = read_type(self.signature)
        if self.dims is not None and len(self.dims) > MAX_RANK:
            raise ModelError(f"the value '{self.name}' has {len(self.dims)} dims: the maximum is {MAX_RANK}")

    def learn_from(self, other: Value) -> None:
        """Adopts the type of another value."""
        self.type, self.signature, self.dims, self.is_shaped = other.type, other.signature, other.dims, other.is_shaped

    def copy(self, name: str) -> Value:
        """The tensor that an equal node computes: the elements are computed once for both."""
        same_as = self if self.tensor is None and self.is_known else None
        return Value(
            name, self.type, self.dims, self.is_shaped, self.signature, self.is_constant, self.is_bound,
            self.tensor, None, same_as, None, None, self.kind,
        )  # fmt: skip

    @property
    def is_known(self) -> bool:
        """Whether the elements are known or can be computed."""
        if self.same_as is not None:
            return self.same_as.is_known
        return self.tensor is not None or self.folds_from is not None


@lru_cache(maxsize=4096)
def read_type(signature: bytes) -> tuple[TypeProto, Dims | None, bool]:
    """A type, its dims, and whether they are all known: most values of a model share their type with others."""
    from onnx import TypeProto

    type_ = TypeProto.FromString(signature)
    tensor = type_.tensor_type if type_.HasField("tensor_type") else None
    if tensor is None or not tensor.HasField("shape"):
        return type_, None, tensor is None
    dims = tuple([dim.dim_value if dim.dim_value > 0 else _other_dim(dim) for dim in tensor.shape.dim[:]])
    return type_, dims, all(isinstance(dim, int) for dim in dims)


def _other_dim(dim: TensorShapeProto.Dimension) -> int | str | None:
    """A negative dim was left open by a converter, or is the result of an invalid operator."""
    return (None if dim.dim_value else 0) if dim.HasField("dim_value") else dim.dim_param or None


class Execution(NamedTuple):
    """One execution of a node: the types of its output tensors, and every pass through its bodies, by attribute."""

    outputs: tuple[TensorType, ...]
    bodies: Mapping[str, tuple[Pass, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One pass through a graph: the executions of its nodes, by the name of their first output. Equal passes are one object."""

    executions: Mapping[str, Execution]


@dataclass(slots=True, eq=False)
class Step:
    """One node in execution order with the values that it reads and writes; absent ones are None.

    ``branches`` are the steps of each body, by name, if the graph does not show which of them runs; ``open_reason`` says why a
    body is not among the steps. ``idle`` are steps of a branch that is not taken, for the constants that they read, which are
    loaded nevertheless. ``execution`` is its execution in a traced run. ``alike`` is the same number for steps that differ only
    in names, 0 if there are none.
    """

    node: StoredNode
    name: str
    domain: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)
    repeat: int = 1
    has_subgraph: bool = False
    execution: Execution | None = None
    branches: Mapping[str, list[Step]] | None = None
    open_reason: str = ""
    idle: Sequence[Step] = ()
    alike: int = 0

    def passes(self, body: str) -> tuple[Pass, ...]:
        """The passes through the body in an attribute that were traced, in order."""
        return self.execution.bodies.get(body, ()) if self.execution is not None else ()

    def times(self, count: int) -> None:
        """Multiplies how often it runs, including its bodies."""
        self.repeat *= count
        for branch in (self.branches or {}).values():
            for step in branch:
                step.times(count)


def tensor_type(element_type: int, dims: Iterable[int | str | None]) -> TypeProto:
    """The type of a tensor with these dims; one that is not an integer that onnx can store stays open."""
    return _tensor_type(element_type, tuple(dims))


@lru_cache(maxsize=4096)
def _tensor_type(element_type: int, dims: Dims) -> TypeProto:
    from onnx import TypeProto

    type_ = TypeProto()
    type_.tensor_type.elem_type = element_type
    type_.tensor_type.shape.SetInParent()
    for size in dims:
        dim = type_.tensor_type.shape.dim.add()
        if isinstance(size, int) and abs(size) < 2**63:
            dim.dim_value = size
    return type_


def array_of(tensor: TensorProto) -> Any:
    """The elements as a numpy array; None for those in another file, for a payload that does not fit the dims, and for a type
    that does not exist.
    """
    # onnx would look for the file in the working directory.
    if tensor.data_location == tensor.EXTERNAL:
        return None
    code, data, dims = _CODES.get(tensor.data_type), tensor.raw_data, tensor.dims[:]
    if code is not None and data and len(data) == prod(dims) * int(code[2:]) and not tensor.HasField("segment"):
        from numpy import frombuffer

        return frombuffer(data, code).reshape(dims)
    from onnx.numpy_helper import to_array  # which takes ten times as long

    try:
        return to_array(tensor)
    except MemoryError:
        raise
    # For a damaged tensor, onnx raises ValueError, TypeError, KeyError, its own errors and those of numpy.
    except Exception:
        return None


_CODES: Mapping[int, str] = {
    1: "<f4", 2: "<u1", 3: "<i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "<b1", 10: "<f2", 11: "<f8", 12: "<u4", 13: "<u8",
}  # fmt: skip
"""The types that numpy can read: its codes by TensorProto's numbers."""


def elements_in(tensor: TensorProto) -> tuple[Any, ...] | None:
    """The elements in row-major order; None as for ``array_of``."""
    array = array_of(tensor)
    return tuple(array.ravel().tolist()) if array is not None else None
