"""Lowering of the shaped model to the Graph that the rest of onnxcost knows, padded channels of NCHWc resolved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from onnxcost.frontend.bodies import ShapedModel
from onnxcost.frontend.nodes import as_node, as_tensor
from onnxcost.frontend.reader import Skeleton
from onnxcost.frontend.values import Value
from onnxcost.graph import Graph, Node, Tensor

DOMAIN = "com.microsoft.nchwc"


def note_true_channels(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes; those that are blocked convolutions with ``channels`` and ``input_channels`` where they are known."""
    if not any(node.domain == DOMAIN for node in nodes):
        return tuple(nodes)
    known: dict[str, int] = {}
    for node in nodes:
        _hand_on(node, node.inputs, node.outputs, known)
    for node in reversed(nodes):
        _hand_on(node, node.outputs, node.inputs, known)
    return tuple(_note_channels(node, known) if node.key == f"{DOMAIN}.Conv" else node for node in nodes)


def _hand_on(node: Node, given: Iterable[Tensor | None], others: Iterable[Tensor | None], known: dict[str, int]) -> None:
    if node.domain == DOMAIN and node.op_type in ("ReorderInput", "ReorderOutput"):
        known.update(_at_the_edge(node))
    else:
        channels = {known[tensor.name] for tensor in _alike(node, given) if tensor.name in known}
        if len(channels) == 1:
            known.update(dict.fromkeys((tensor.name for tensor in _alike(node, others)), channels.pop()))


def _at_the_edge(node: Node) -> dict[str, int]:
    """The channels of what a reordering reads or makes in blocks."""
    x, out = node.input(0), node.outputs[0] if node.outputs else None
    if node.op_type == "ReorderOutput":
        channels = node.attributes.get("channels")
        return {x.name: channels} if x is not None and isinstance(channels, int) else {}
    if x is None or out is None or not x.is_shaped or x.rank < 2:
        return {}
    return {out.name: x.shape[-1 if node.attributes.get("channels_last") else 1]}


def _alike(node: Node, tensors: Iterable[Tensor | None]) -> list[Tensor]:
    """Of a node's tensors those that have the channels of its output: a convolution's residual, whatever is not broadcast."""
    if node.key == f"{DOMAIN}.Conv":
        tensors = (tensor for tensor in tensors if tensor in (node.input(3), *node.outputs))
    out = node.outputs[0] if node.outputs else None
    if out is None or not out.is_shaped or out.rank < 3:
        return []
    return [t for t in tensors if t is not None and t.is_shaped and t.rank == out.rank and t.shape[1] == out.shape[1]]


def _note_channels(node: Node, known: dict[str, int]) -> Node:
    ends = {"channels": node.outputs[0] if node.outputs else None, "input_channels": node.input(0)}
    found = {name: known.get(tensor.name) for name, tensor in ends.items() if tensor is not None}
    return replace(node, attributes={**node.attributes, **{name: count for name, count in found.items() if count}})


def lower(skeleton: Skeleton, found: ShapedModel) -> Graph:
    """The graph of a shaped model."""
    model = found.model
    tensors: dict[int, Tensor] = {}

    def tensor(value: Value) -> Tensor:
        found = tensors.get(id(value))
        if found is None:
            found = tensors[id(value)] = as_tensor(value, tensor)
        return found

    return Graph(
        name=model.graph.name,
        inputs=tuple(tensor(value) for value in found.inputs),
        outputs=tuple(tensor(value) for value in found.outputs),
        nodes=note_true_channels([as_node(step, found.opsets, tensor) for step in found.steps]),
        constants={name: tensor(value) for name, value in found.constants.items()},
        dims=found.dims,
        caveats=tuple(found.caveats),
        path=skeleton.path,
        producer=" ".join(filter(None, (model.producer_name, model.producer_version))),
        ir_version=model.ir_version,
        opsets=dict(found.opsets),
        file_bytes=skeleton.file_bytes,
    )
