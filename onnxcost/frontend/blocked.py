"""How many channels a blocked convolution of onnxruntime's NCHWc domain had before they were padded to whole blocks.

ReorderOutput says it of what leaves the blocks and ReorderInput's input of what enters them; whatever works channel by channel
hands it on. Between two blocked convolutions nothing says it: their padded channels stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from onnxcost.graph import Node, Tensor

DOMAIN = "com.microsoft.nchwc"


def with_true_channels(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes; those that are blocked convolutions with ``channels`` and ``input_channels`` where they are known."""
    if not any(node.domain == DOMAIN for node in nodes):
        return tuple(nodes)
    known: dict[str, int] = {}
    for node in nodes:
        _hand_on(node, node.inputs, node.outputs, known)
    for node in reversed(nodes):
        _hand_on(node, node.outputs, node.inputs, known)
    return tuple(_noted(node, known) if node.key == f"{DOMAIN}.Conv" else node for node in nodes)


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


def _noted(node: Node, known: dict[str, int]) -> Node:
    ends = {"channels": node.outputs[0] if node.outputs else None, "input_channels": node.input(0)}
    found = {name: known.get(tensor.name) for name, tensor in ends.items() if tensor is not None}
    return replace(node, attributes={**node.attributes, **{name: count for name, count in found.items() if count}})
