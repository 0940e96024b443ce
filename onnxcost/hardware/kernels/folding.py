"""The nodes that are left once a runtime has worked out what is known before the run."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from onnxcost.graph import Graph, Node, Tensor

_RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"})
_HANDED_ON = ("Identity", "Dropout")
_SHAPES = ("Shape", "Size")


def live(graph: Graph) -> list[Node]:
    """Without what is known before the run: what depends on constants alone, or on shapes that the model fixes."""
    known = set(graph.constants)
    fixed = not graph.dims
    kept: list[Node] = []
    dequantized: set[str] = set()
    for node in graph.nodes:
        node = _with_constants(node, dequantized, False)
        inputs = [tensor for tensor in node.inputs if tensor is not None]
        constant = all(tensor.is_constant or tensor.name in known for tensor in inputs)
        if node.key == "DequantizeLinear":
            # Left for the integer operators that may take it in.
            kept.append(node)
            dequantized.add(node.out.name)
        elif node.key not in _RANDOM and (constant or (fixed and node.key in _SHAPES)):
            known.update(tensor.name for tensor in node.outputs if tensor is not None)
        elif node.key not in _HANDED_ON and not _changes_nothing(node):
            kept.append(_with_constants(node, known, True))
        else:
            kept.append(node)
    return _renamed(kept)


def _changes_nothing(node: Node) -> bool:
    """Whether it brings a tensor to the type that it has."""
    return node.key == "Cast" and node.x.dtype == node.out.dtype


def _with_constants(node: Node, names: Set[str], is_constant: bool) -> Node:
    """The node with the inputs of these names as constants, or as none."""
    if not any(t is not None and t.name in names and t.is_constant != is_constant for t in node.inputs):
        return node
    inputs = tuple(replace(t, is_constant=is_constant) if t is not None and t.name in names else t for t in node.inputs)
    return replace(node, inputs=inputs)


def _renamed(nodes: list[Node]) -> list[Node]:
    """Without the nodes that hand their input on: their readers read that."""
    names: dict[str, Tensor] = {}
    kept = []
    for node in nodes:
        if any(tensor is not None and tensor.name in names for tensor in node.inputs):
            node = replace(node, inputs=tuple(names.get(t.name, t) if t is not None else None for t in node.inputs))
        if node.key in _HANDED_ON or _changes_nothing(node):
            names[node.out.name] = node.x
        else:
            kept.append(node)
    return kept
