"""The type that a node's arithmetic is done in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

from onnxcost.graph import BITS, Caveat, DefUse, Graph, Node
from onnxcost.operators.traits import VIEWS

_QUANTIZES, _DEQUANTIZES = "QuantizeLinear", "DequantizeLinear"
_KEPT_BETWEEN = VIEWS | {"Relu", "Clip", "MaxPool", "Transpose"}
"""Operators between an operator and its QuantizeLinear that a runtime also computes with integers."""


def compute_dtype(node: Node) -> str:
    """The narrower type of the first input and the first output, without bool; of equally wide ones, the floating one.

    So a comparison of floats counts under float32, and a quantization or dequantization under its integer type.
    """
    reads = node.inputs[0].dtype if node.inputs and node.inputs[0] is not None else "bool"
    writes = node.outputs[0].dtype if node.outputs and node.outputs[0] is not None else "bool"
    return _narrower(reads, writes)


@cache
def _narrower(one: str, other: str) -> str:
    arithmetic = [dtype for dtype in (one, other) if dtype != "bool"]
    return min(arithmetic, key=lambda dtype: (BITS.get(dtype, 64), not _is_data(dtype)), default="bool")


def compute_dtypes(graph: Graph) -> tuple[Sequence[str], Sequence[Caveat]]:
    """The type of each node, and a note on those that a pattern decided.

    A node that reads outputs of DequantizeLinear and whose outputs only QuantizeLinear reads (ONNX's QDQ form of a quantized
    operator) will run in integers: it counts under the type that was dequantized.
    """
    dtypes = [compute_dtype(node) for node in graph.nodes]
    if not any(node.op_type == _DEQUANTIZES for node in graph.nodes):
        return dtypes, ()
    uses = graph.uses
    patterns: Counter[str] = Counter()
    for index, node in enumerate(graph.nodes):
        dtype = _dequantized_dtype(node, uses)
        if dtype is not None and _is_quantized_again(node, uses, set()):
            dtypes[index] = dtype
            patterns[dtype] += 1
    notes = [
        Caveat(
            "note",
            f"{count} nodes between DequantizeLinear and QuantizeLinear are counted as {dtype}, the type that they run in",
        )
        for dtype, count in patterns.items()
    ]
    return dtypes, notes


def _dequantized_dtype(node: Node, uses: DefUse) -> str | None:
    """The integer type of a node's dequantized inputs; None unless all inputs except constants are dequantized."""
    if node.op_type in (_QUANTIZES, _DEQUANTIZES):
        return None
    makers = [uses.definition(tensor.name) for tensor in node.inputs if tensor is not None and _is_data(tensor.dtype)]
    dequantized = [maker.x.dtype for maker in makers if maker is not None and maker.op_type == _DEQUANTIZES]
    return dequantized[0] if dequantized and len(dequantized) == len(makers) else None


def _is_data(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))


def _is_quantized_again(node: Node, uses: DefUse, seen: set[str]) -> bool:
    """Whether all uses of a node's outputs are quantized, directly or after nodes that also run in integers."""
    made = node.makes
    found = [reader for name in made for reader in uses.readers(name)]
    seen.add(node.name)
    return bool(found and uses.returned.isdisjoint(made)) and all(
        reader.op_type == _QUANTIZES
        or (reader.op_type in _KEPT_BETWEEN and reader.name not in seen and _is_quantized_again(reader, uses, seen))
        for reader in found
    )
