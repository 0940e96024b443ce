"""The shaped model as the Graph that the rest of onnxcost knows, with its symbols and the true number of channels if NCHWc pads
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from onnxcost.frontend.nodes import as_node, as_tensor
from onnxcost.frontend.values import Dims, Value, read_type
from onnxcost.graph import BoundDim, Dim, Graph, Node, Tensor

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

    from onnxcost.frontend.bodies import ShapedModel
    from onnxcost.frontend.reader import Skeleton
    from onnxcost.frontend.stored_graphs import Alike


MOST_SYMBOLIC = 20_000
"""The nodes of the largest model whose symbols are followed; in larger ones, all dims count as known."""
_LARGE_MESSAGE = 2**24
"""Bytes of a model without its weights that onnx does not infer as a whole: tree ensembles, whose lists it would copy twice."""
_ALL_LISTED = 3
"""The last IR version in which all initializers had to be listed among the inputs."""
BLOCKED = "com.microsoft.nchwc"
"""The domain of operators on blocks of channels."""


def lower(skeleton: Skeleton, found: ShapedModel) -> Graph:
    """The graph of a shaped model."""
    model = found.model
    tensor = _Tensors().__getitem__
    attributes: dict[Alike, Mapping[str, Any]] = {}
    return Graph(
        name=model.graph.name,
        inputs=tuple(tensor(value) for value in found.inputs),
        outputs=tuple(tensor(value) for value in found.outputs),
        nodes=note_true_channels([as_node(step, found.opsets, tensor, attributes) for step in found.steps]),
        constants={name: tensor(value) for name, value in found.constants.items()},
        dims=found.dims,
        caveats=tuple(found.caveats),
        path=skeleton.path,
        producer=" ".join(filter(None, (model.producer_name, model.producer_version))),
        ir_version=model.ir_version,
        opsets=dict(found.opsets),
        file_bytes=skeleton.file_bytes,
        unfolded=frozenset(found.carried).union(
            [value.name for value in model.graph.input[:] if value.name in found.constants]
            if model.ir_version > _ALL_LISTED
            else ()
        ),
        symbolic_dims=_SymbolicDims(model, found.dims) if found.dims and len(found.steps) <= MOST_SYMBOLIC else None,
    )


class _SymbolicDims(Mapping[str, tuple[Dim, ...]]):
    """The dims of values that onnx infers while ``dims`` are open: a size, a symbol of the model, or None if it cannot. They
    are inferred on request, which takes a third of the time of counting.
    """

    def __init__(self, model: ModelProto, dims: Sequence[BoundDim]) -> None:
        self._model, self._open = model, dims

    def __getitem__(self, name: str) -> tuple[Dim, ...]:
        return self._inferred[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._inferred)

    def __len__(self) -> int:
        return len(self._inferred)

    @cached_property
    def _inferred(self) -> dict[str, tuple[Dim, ...]]:
        return _infer_symbolic_dims(self._model, self._open)


def _infer_symbolic_dims(model: ModelProto, dims: Sequence[BoundDim]) -> dict[str, tuple[Dim, ...]]:
    from onnx.shape_inference import infer_shapes

    if model.ByteSize() > _LARGE_MESSAGE:
        return {}
    of_inputs = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    places = [(of_inputs[name][axis], dim) for dim in dims for name, axis in dim.places if axis < len(of_inputs.get(name, ()))]
    bound = [(proto, proto.SerializeToString()) for proto, _ in places]
    for proto, dim in places:
        proto.Clear()
        proto.dim_param = "" if dim.is_unnamed else dim.name
    symbols = {dim for _, dims in _declared(model.graph) for dim in dims if isinstance(dim, str)}
    try:
        inferred = infer_shapes(model).graph
    except Exception:
        return {}
    finally:
        for proto, sizes in bound:
            proto.ParseFromString(sizes)
    return {
        name: tuple([dim if isinstance(dim, int) or dim in symbols else None for dim in dims])
        for name, dims in _declared(inferred)
    }


def _declared(graph: GraphProto) -> Iterator[tuple[str, Dims]]:
    """The values whose dims a graph declares."""
    for value in (*graph.input[:], *graph.output[:], *graph.value_info[:]):
        _, dims, _ = read_type(value.type.SerializeToString())
        if dims is not None:
            yield value.name, dims


class _Tensors(dict[Value, Tensor]):
    """The tensor of each value."""

    def __init__(self) -> None:
        self._by_kind: dict[int, Tensor] = {}

    def __missing__(self, value: Value) -> Tensor:
        alike = self._by_kind.get(value.kind)
        if alike is not None:
            made = Tensor(value.name, alike.dtype, alike.dims, alike.is_constant, alike.value, alike.is_bound, alike.elements)
        else:
            made = as_tensor(value, self.__getitem__)
            if value.kind:
                self._by_kind[value.kind] = made
        self[value] = made
        return made


def note_true_channels(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes; those that are blocked convolutions with ``channels`` and ``input_channels`` if they are known."""
    if BLOCKED not in {node.domain for node in nodes}:
        return tuple(nodes)
    known: dict[str, int] = {}
    for node in nodes:
        _hand_on(node, node.inputs, node.outputs, known)
    for node in reversed(nodes):
        _hand_on(node, node.outputs, node.inputs, known)
    noted = []
    for node in nodes:
        if node.key == f"{BLOCKED}.Conv":
            ends = {"channels": node.outputs[0] if node.outputs else None, "input_channels": node.input(0)}
            found = {name: known.get(tensor.name) for name, tensor in ends.items() if tensor is not None}
            node = replace(node, attributes={**node.attributes, **{name: count for name, count in found.items() if count}})
        noted.append(node)
    return tuple(noted)


def _hand_on(node: Node, given: Iterable[Tensor | None], others: Iterable[Tensor | None], known: dict[str, int]) -> None:
    if node.domain == BLOCKED and node.op_type in ("ReorderInput", "ReorderOutput"):
        known.update(_at_the_edge(node))
    else:
        channels = {known[tensor.name] for tensor in _alike(node, given) if tensor.name in known}
        if len(channels) == 1:
            known.update(dict.fromkeys((tensor.name for tensor in _alike(node, others)), channels.pop()))


def _at_the_edge(node: Node) -> dict[str, int]:
    """The channels of the blocked input or output of a reordering."""
    x, out = node.input(0), node.outputs[0] if node.outputs else None
    if node.op_type == "ReorderOutput":
        channels = node.attributes.get("channels")
        return {x.name: channels} if x is not None and isinstance(channels, int) else {}
    if x is None or out is None or not x.is_shaped or x.rank < 2:
        return {}
    return {out.name: x.shape[-1 if node.attributes.get("channels_last") else 1]}


def _alike(node: Node, tensors: Iterable[Tensor | None]) -> list[Tensor]:
    """The tensors of a node with the channels of its output: a convolution's residual, and inputs that are not broadcast."""
    if node.key == f"{BLOCKED}.Conv":
        tensors = (tensor for tensor in tensors if tensor in (node.input(3), *node.outputs))
    out = node.outputs[0] if node.outputs else None
    if out is None or not out.is_shaped or out.rank < 3:
        return []
    return [t for t in tensors if t is not None and t.is_shaped and t.rank == out.rank and t.shape[1] == out.shape[1]]
