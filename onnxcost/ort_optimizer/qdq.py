"""The operators between DequantizeLinear and QuantizeLinear that onnxruntime runs on integers.

Its passes are EnsureUniqueDQForNodeUnit, QDQS8ToU8Transformer, QDQSelectorActionTransformer, ReluQuantFusion and
ClipQuantFusion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from onnxcost.graph import DefUse, Graph, Node, Tensor
from onnxcost.operators.traits import VIEWS
from onnxcost.ort_optimizer.fusion import FusedNode

_QUANTIZES, _DEQUANTIZES = "QuantizeLinear", "DequantizeLinear"
_BOUNDS = ("Relu", "Clip")
_INTEGER_KINDS = frozenset(
    {"Conv", "MatMul", "Gemm", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "Concat", "Softmax"}
)
_AS_THEY_ARE = VIEWS | {"MaxPool", "Transpose", "Resize", "Slice", "Split", "Gather", "Relu", "Clip", "Pad"}


def lower_qdq(graph: Graph, steps: list[FusedNode]) -> list[FusedNode]:
    """The steps with operators on integers, and without the QuantizeLinear and DequantizeLinear that only served them.

    QDQS8ToU8Transformer first turns int8 into uint8 where one node reads it, and QDQSelectorActionTransformer then leaves out
    operators whose types differ.
    """
    if not any(step.node.key == _DEQUANTIZES for step in steps):
        return steps
    steps = list(_split_shared(graph, steps))
    uses = DefUse((step.node for step in steps), graph.outputs)
    integers = {step.node.out.name for step in steps if _runs_on_integers(step.node, uses)}
    stands_for: dict[str, Tensor] = {}
    kept = []
    for step in steps:
        node = step.node
        read_by = uses.readers(node.out.name)
        maker = uses.definition(node.x.name) if node.inputs and node.inputs[0] is not None else None
        if node.key == _DEQUANTIZES and read_by and all(reader.out.name in integers for reader in read_by):
            stands_for[node.out.name] = node.x
        elif maker is not None and _is_rounded_for(node, maker, uses, integers):
            stands_for[node.out.name] = replace(node.out, name=node.x.name)
        else:
            is_integer = node.out.name in integers and node.key in _INTEGER_KINDS
            kept.append(replace(step, kind=f"QLinear{node.op_type}") if is_integer else step)
    return [_on_integers(step, stands_for) for step in kept]


def _split_shared(graph: Graph, steps: list[FusedNode]) -> Iterator[FusedNode]:
    """The steps with a DequantizeLinear of its own for each reader: EnsureUniqueDQForNodeUnit."""
    uses = DefUse((step.node for step in steps), graph.outputs)
    readers = {step.node.out.name: len(uses.positions(step.node.out.name)) for step in steps if step.node.key == _DEQUANTIZES}
    seen = Counter[str]()
    for step in steps:
        node, inputs = step.node, list(step.node.inputs)
        for place, tensor in enumerate(inputs):
            if tensor is not None and readers.get(tensor.name, 0) > 1:
                inputs[place] = _copy(tensor, seen[tensor.name])
                seen[tensor.name] += 1
        yield step if inputs == list(node.inputs) else replace(step, node=replace(node, inputs=tuple(inputs)))
        for number in range(1, readers.get(node.out.name, 0) if node.key == _DEQUANTIZES else 0):
            yield replace(step, node=replace(node, inputs=tuple(inputs), outputs=(_copy(node.out, number),)))


def _copy(tensor: Tensor, number: int) -> Tensor:
    return replace(tensor, name=f"{tensor.name}/{number}") if number else tensor


def _on_integers(step: FusedNode, stands_for: Mapping[str, Tensor]) -> FusedNode:
    """The step with the integers that it reads and makes in place of the floats."""

    def real(tensor: Tensor | None) -> Tensor | None:
        while tensor is not None and tensor.name in stands_for:
            behind = stands_for[tensor.name]
            tensor = behind if tensor.dtype.startswith("float") else replace(behind, dtype=tensor.dtype)
        return tensor

    inputs = tuple(map(real, step.node.inputs))
    outputs = step.node.outputs
    if step.kind and inputs[0] is not None:
        outputs = tuple(replace(tensor, dtype=inputs[0].dtype) if tensor is not None else None for tensor in outputs)
    return replace(step, node=replace(step.node, inputs=inputs, outputs=outputs))


def _is_rounded_for(node: Node, maker: Node, uses: DefUse, integers: set[str]) -> bool:
    """Whether a QuantizeLinear, or the Relu or Clip before it, is a part of the integer operator that makes its input."""
    if node.key == _QUANTIZES and maker.key in _BOUNDS and maker.out.name not in integers:
        maker = uses.definition(maker.x.name) or maker
    return maker.out.name in integers and node.key in (_QUANTIZES, *_BOUNDS)


def _runs_on_integers(node: Node, uses: DefUse) -> bool:
    """Whether an operator runs on integers: its inputs come from DequantizeLinear, its output goes to QuantizeLinear."""
    if node.key not in _INTEGER_KINDS | _AS_THEY_ARE or not node.inputs:
        return False
    makers = [uses.definition(t.name) for t in node.inputs if t is not None and t.dtype.startswith("float")]
    sources = [maker.x for maker in makers if maker is not None and maker.key == _DEQUANTIZES]
    behind = uses.readers(node.out.name)
    if len(behind) == 1 and behind[0].key in _BOUNDS:
        behind = uses.readers(behind[0].out.name)
    if not sources or len(sources) < len(makers) or not behind or any(reader.key != _QUANTIZES for reader in behind):
        return False
    tensors = [t for t in sources if not t.is_constant] + [reader.out for reader in behind]
    types = set[str]()
    for tensor in tensors:
        count = sum(len(uses.positions(reader.out.name)) for reader in uses.readers(tensor.name))
        types.add("uint8" if count <= 1 else tensor.dtype)
    return len(types) == 1
