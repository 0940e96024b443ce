"""What the walk over a graph knows: values with their types and, where small and constant, their elements; and steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import AttributeProto, NodeProto, TensorProto, TypeProto


@dataclass(slots=True, eq=False)
class Value:
    """One value of the model under a name that is unique in the whole walk.

    ``tensor`` holds the elements where they are stored or have been folded; ``folds_from`` is the step that they can be
    computed from where they have not been yet.
    """

    name: str
    type: TypeProto | None
    is_constant: bool = False
    tensor: TensorProto | None = None
    folds_from: Step | None = None

    @property
    def is_known(self) -> bool:
        """Whether the elements are there or can be had."""
        return self.tensor is not None or self.folds_from is not None

    @property
    def dims(self) -> tuple[int | str | None, ...] | None:
        """The dims as far as they are known; None where not even the rank is, or where it is no tensor."""
        if self.type is None or not self.type.HasField("tensor_type") or not self.type.tensor_type.HasField("shape"):
            return None
        return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in self.type.tensor_type.shape.dim)

    @property
    def is_shaped(self) -> bool:
        """Whether it is a tensor with every dim known, or no tensor at all but of a known type."""
        if self.type is None:
            return False
        if not self.type.HasField("tensor_type"):
            return bool(self.type.WhichOneof("value"))
        dims = self.dims
        return dims is not None and all(isinstance(dim, int) for dim in dims)


@dataclass(slots=True, eq=False)
class Step:
    """One node in execution order with the values that it reads and writes; absent ones are None."""

    node: NodeProto
    name: str
    domain: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)
    repeat: int = 1


def tensor_type(element_type: int, dims: Iterable[int]) -> TypeProto:
    """The type of a tensor with these dims."""
    from onnx import TypeProto

    type_ = TypeProto()
    type_.tensor_type.elem_type = element_type
    type_.tensor_type.shape.SetInParent()
    for size in dims:
        type_.tensor_type.shape.dim.add().dim_value = size
    return type_
