"""The operators between DequantizeLinear and QuantizeLinear that onnxruntime runs on integers.

Its passes are EnsureUniqueDQForNodeUnit, QDQS8ToU8Transformer, QDQSelectorActionTransformer, ReluQuantFusion and
ClipQuantFusion. If only weights are quantized, MatMulNBits dequantizes them: DQMatMulToMatMulNBits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from onnxcost.graph import DefUse, Graph, Node, Tensor
from onnxcost.operators.traits import VIEWS
from onnxcost.ort_optimizer.fused_node import FusedNode

_QUANTIZES, _DEQUANTIZES = "QuantizeLinear", "DequantizeLinear"
_BOUNDS = ("Relu", "Clip")
_INTEGER_KINDS = frozenset(
    {"Conv", "MatMul", "Gemm", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "Concat", "Softmax"}
)
_AS_THEY_ARE = VIEWS | {"MaxPool", "Transpose", "Resize", "Slice", "Split", "Gather", "Relu", "Clip", "Pad"}


_NARROW = frozenset({"int8", "uint8", "int4", "uint4", "int2", "uint2"})
_LEAST_BLOCK = 16


def dequantizes_inside(product: Node, uses: DefUse) -> tuple[Node, ...]:
    """The nodes that MatMulNBits replaces for a MatMul or Gemm: the DequantizeLinear of its weight, and a Transpose
    between the two. Empty where onnxruntime expands the weight in each run: DQMatMulToMatMulNBits.

    The weight is a stored matrix of 8 bits or fewer with one scale, one per column, or one per block of a column, and neither
    it nor the scales have another reader.
    """
    weight = product.input(1)
    if product.key not in ("MatMul", "Gemm") or weight is None or uses.only_reader(weight.name) is None:
        return ()
    between = []
    maker = uses.definition(weight.name)
    if maker is not None and maker.key == "Transpose" and list(maker.attributes.get("perm") or (1, 0)) == [1, 0]:
        between.append(maker)
        maker = uses.definition(maker.x.name)
    if maker is None or maker.key != _DEQUANTIZES or not _has_fitting_scales(maker, uses, is_transposed=bool(between)):
        return ()
    activations = uses.definition(product.x.name)
    if (activations is not None and activations.key == _DEQUANTIZES) or not _is_plain_product(product, maker, uses):
        return ()
    return maker, *between


def _has_fitting_scales(node: Node, uses: DefUse, *, is_transposed: bool) -> bool:
    """Whether MatMulNBits has the weight and the scales of a DequantizeLinear."""
    codes, scale, zero = node.x, node.required(1), node.input(2)
    stored = [codes, scale, *([zero] if zero is not None else [])]
    if not all(tensor.is_constant and tensor.is_shaped for tensor in stored) or codes.dtype not in _NARROW or codes.rank != 2:
        return False
    if any(len(uses.positions(tensor.name)) > 1 for tensor in (codes, scale)) or uses.only_reader(node.out.name) is None:
        return False
    axis, block = node.attributes.get("axis", 1), node.attributes.get("block_size") or 0
    if scale.dtype not in ("float32", "float16") or (zero is not None and zero.dims != scale.dims):
        return False
    if block:
        return axis == 0 and block >= _LEAST_BLOCK and block & (block - 1) == 0 and not is_transposed
    return scale.rank == 0 or (not is_transposed and axis == 1 and scale.dims == (codes.shape[1],))


def _is_plain_product(product: Node, maker: Node, uses: DefUse) -> bool:
    """Whether it is a bare matrix product, with at most a bias, that neither rounding nor a bound follows."""
    attributes, bias = product.attributes, product.input(2)
    plain = {"alpha": 1.0, "transA": 0, "transB": 0, **({"beta": 1.0} if bias is not None else {})}
    if any(attributes.get(name, value) != value for name, value in plain.items()):
        return False
    if bias is not None and bias.dims != (product.out.dims or ())[-1:]:
        return False
    behind = uses.readers(product.out.name)
    if product.key == "MatMul" and product.x.dims is not None and len(product.x.dims) == 2 and len(behind) == 1:
        added = [t for t in behind[0].inputs if t is not None and t.name != product.out.name and t.dims]
        if behind[0].key == "Add" and added:  # a Gemm: MatMulAddFusion
            if added[0].dims == (product.out.dims or ())[-1:]:
                behind = uses.readers(behind[0].out.name)
            elif added[0].rank == 2 and behind[0].out.dims == product.out.dims:  # a bias that the kernel does not have
                return False
    if any(reader.key == _QUANTIZES for reader in behind):
        return False
    return not (len(behind) == 1 and behind[0].key in _BOUNDS and uses.only_reader(behind[0].out.name) is not None)


def read_as_stored(graph: Graph) -> Graph:
    """The graph, in which a product that dequantizes its weight inside reads the stored weight and scales, and the replaced
    nodes read and compute nothing.
    """
    if not any(node.key == _DEQUANTIZES and node.x.is_constant for node in graph.nodes):
        return graph
    uses = graph.uses
    inside = {node.out.name: dequantizes_inside(node, uses) for node in graph.nodes if node.outputs}
    gone = {node.out.name for nodes in inside.values() for node in nodes}

    def as_stored(node: Node) -> Node:
        name = node.out.name if node.outputs else ""
        if name in gone:
            return replace(node, inputs=(), outputs=())
        return replace(node, inputs=(node.x, *inside[name][0].inputs, *node.inputs[2:])) if inside.get(name) else node

    return replace(graph, nodes=tuple(map(as_stored, graph.nodes)))


def _lower_weights(graph: Graph, steps: list[FusedNode]) -> list[FusedNode]:
    """The steps with MatMulNBits instead of products that dequantize their weight inside."""
    uses = DefUse((step.node for step in steps), graph.outputs)
    inside = {step.node.out.name: dequantizes_inside(step.node, uses) for step in steps if step.node.outputs}
    gone = {node.out.name for nodes in inside.values() for node in nodes}
    return (
        [_with_codes(step, inside[step.node.out.name]) for step in steps if step.node.out.name not in gone] if gone else steps
    )


def _with_codes(step: FusedNode, inside: tuple[Node, ...]) -> FusedNode:
    if not inside:
        return step
    bias = step.node.input(2)
    inputs = (step.node.x, *inside[0].inputs, *([bias] if bias is not None else []))
    return replace(step, node=replace(step.node, inputs=inputs), kind="MatMulNBits")


def lower_qdq(graph: Graph, steps: list[FusedNode]) -> list[FusedNode]:
    """The steps with operators on integers, and without the QuantizeLinear and DequantizeLinear that only served them.

    QDQS8ToU8Transformer first turns int8 into uint8 where one node reads it, and QDQSelectorActionTransformer then leaves out
    operators whose types differ.
    """
    if not any(step.node.key == _DEQUANTIZES for step in steps):
        return steps
    steps = list(_split_shared(graph, _lower_weights(graph, steps)))
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
    """The step with integer inputs and outputs instead of floats."""

    def real(tensor: Tensor | None) -> Tensor | None:
        while tensor is not None and tensor.name in stands_for:
            behind = stands_for[tensor.name]
            tensor = behind if tensor.dtype.startswith("float") else replace(behind, dtype=tensor.dtype)
        return tensor

    inputs = tuple(map(real, step.node.inputs))
    outputs = step.node.outputs
    if inputs and inputs[0] is not None and (step.kind or inputs[0].dtype != step.node.x.dtype):
        outputs = tuple(replace(tensor, dtype=inputs[0].dtype) if tensor is not None else None for tensor in outputs)
    return replace(step, node=replace(step.node, inputs=inputs, outputs=outputs))


def _is_rounded_for(node: Node, maker: Node, uses: DefUse, integers: set[str]) -> bool:
    """Whether a QuantizeLinear, or the Relu or Clip before it, is a part of the integer operator that makes its input."""
    if node.key == _QUANTIZES and maker.key in _BOUNDS and maker.out.name not in integers:
        maker = uses.definition(maker.x.name) or maker
    return maker.out.name in integers and node.key in (_QUANTIZES, *_BOUNDS)


def _has_stored_scales(node: Node) -> bool:
    return all(tensor is None or tensor.is_constant for tensor in node.inputs[1:])


def _runs_on_integers(node: Node, uses: DefUse) -> bool:
    """Whether an operator runs on integers: its inputs come from DequantizeLinear, its output goes to QuantizeLinear."""
    if node.key not in _INTEGER_KINDS | _AS_THEY_ARE or not node.inputs:
        return False
    makers = [uses.definition(t.name) for t in node.inputs if t is not None and t.dtype.startswith("float")]
    sources = [maker for maker in makers if maker is not None and maker.key == _DEQUANTIZES]
    behind = uses.readers(node.out.name)
    if len(behind) == 1 and behind[0].key in _BOUNDS:
        behind = uses.readers(behind[0].out.name)
    if not sources or len(sources) < len(makers) or not behind or any(reader.key != _QUANTIZES for reader in behind):
        return False
    if node.key == "Conv" and node.input(2) is not None and not all(map(_has_stored_scales, sources)):
        return False  # The scale of a bias has to be the product of the others.
    ends = [(maker.x, maker) for maker in sources if not maker.x.is_constant] + [(reader.out, reader) for reader in behind]
    types = set[str]()
    for tensor, converted in ends:
        count = sum(len(uses.positions(reader.out.name)) for reader in uses.readers(tensor.name))
        zero_point = converted.input(2)
        becomes_unsigned = count <= 1 and (zero_point is None or zero_point.is_constant)
        types.add("uint8" if becomes_unsigned else tensor.dtype)
    return len(types) == 1
