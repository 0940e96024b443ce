"""Which operators onnxruntime runs on integers, of a model with QuantizeLinear and DequantizeLinear around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnxcost.graph import Node, Tensor
from onnxcost.hardware.kernels.executed import Executed
from onnxcost.traffic import VIEWS

_QUANTIZES, _DEQUANTIZES = "QuantizeLinear", "DequantizeLinear"
_BOUNDS = ("Relu", "Clip")
_INTEGER_KINDS = frozenset(
    {"Conv", "MatMul", "Gemm", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "Concat", "Softmax"}
)
_AS_THEY_ARE = VIEWS | {"MaxPool", "Transpose", "Resize", "Slice", "Split", "Gather", "Relu", "Clip", "Pad"}


def quantized(steps: list[Executed]) -> list[Executed]:
    """Operators between DequantizeLinear and QuantizeLinear run on integers, and what converts for them alone vanishes.

    Onnxruntime brings int8 that one node reads to uint8, and leaves operators alone whose types then differ.
    """
    if not any(step.node.key == _DEQUANTIZES for step in steps):
        return steps
    found = _Integers([step.node for step in steps])
    integers = {step.node.out.name for step in steps if found.are_meant(step.node)}
    stands_for: dict[str, Tensor] = {}
    kept = []
    for step in steps:
        node = step.node
        readers = found.readers.get(node.out.name, [])
        maker = found.made_by.get(node.x.name) if node.inputs and node.inputs[0] is not None else None
        if node.key == _DEQUANTIZES and readers and all(reader.out.name in integers for reader in readers):
            stands_for[node.out.name] = node.x
        elif maker is not None and _is_rounded_for(node, maker, found, integers):
            stands_for[node.out.name] = replace(node.out, name=node.x.name)
        else:
            is_integer = node.out.name in integers and node.key in _INTEGER_KINDS
            kept.append(replace(step, kind=f"QLinear{node.op_type}") if is_integer else step)
    return [_on_integers(step, stands_for) for step in kept]


def _on_integers(step: Executed, stands_for: Mapping[str, Tensor]) -> Executed:
    """The step with what it really reads and makes, in place of what was converted for it."""

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


def _is_rounded_for(node: Node, maker: Node, found: _Integers, integers: set[str]) -> bool:
    """Whether a QuantizeLinear, or the Relu before it, is a part of the integer operator that makes its input."""
    if node.key == _QUANTIZES and maker.key in _BOUNDS and maker.out.name not in integers:
        maker = found.made_by.get(maker.x.name, maker)
    return maker.out.name in integers and node.key in (_QUANTIZES, *_BOUNDS)


class _Integers:
    """Which operators run on integers."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.made_by = {tensor.name: node for node in nodes for tensor in node.outputs if tensor is not None}
        self.readers: dict[str, list[Node]] = {}
        for node in nodes:
            for tensor in node.inputs:
                if tensor is not None:
                    self.readers.setdefault(tensor.name, []).append(node)

    def are_meant(self, node: Node) -> bool:
        if node.key not in _INTEGER_KINDS | _AS_THEY_ARE or not node.inputs:
            return False
        makers = [self.made_by.get(t.name) for t in node.inputs if t is not None and t.dtype.startswith("float")]
        sources = [maker.x for maker in makers if maker is not None and maker.key == _DEQUANTIZES]
        behind = self.readers.get(node.out.name, [])
        if len(behind) == 1 and behind[0].key in _BOUNDS:
            behind = self.readers.get(behind[0].out.name, [])
        if not sources or len(sources) < len(makers) or not behind or any(reader.key != _QUANTIZES for reader in behind):
            return False
        tensors = [t for t in sources if not t.is_constant] + [reader.out for reader in behind]
        return len({self._type(tensor) for tensor in tensors}) == 1

    def _type(self, tensor: Tensor) -> str:
        uses = sum(len(self.readers.get(reader.out.name, ())) for reader in self.readers.get(tensor.name, ()))
        return "uint8" if uses <= 1 else tensor.dtype
