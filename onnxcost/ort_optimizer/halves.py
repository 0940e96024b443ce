"""float16 on a CPU that has few kernels for it: InsertCastTransformer.

Where there is no kernel, onnxruntime computes in float32, between casts; those that undo one another are removed. Functions
without a kernel are inlined before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from onnxcost.graph import DefUse, Graph, Node, Tensor
from onnxcost.operators.traits import CASTS, GATHERS, SHAPE_READERS, VIEWS

HALF, SINGLE = "float16", "float32"
HALF_KERNELS = (
    VIEWS | CASTS | GATHERS | SHAPE_READERS
    | {"Attention", "Clip", "Compress", "Concat", "ConstantOfShape", "DequantizeLinear", "Expand", "GatherElements", "GatherND"}
    | {"If", "IsInf", "IsNaN", "LayerNormalization", "Loop", "Max", "Min", "Mod", "QuantizeLinear", "RMSNormalization", "Round"}
    | {"Scan", "ScatterElements", "ScatterND", "SimplifiedLayerNormalization", "Slice", "Split", "Transpose"}
    | {f"com.microsoft.Skip{kind}LayerNormalization" for kind in ("", "Simplified")}
    | {"com.microsoft.GroupQueryAttention", "com.microsoft.MatMulNBits", "com.microsoft.RotaryEmbedding"}
)  # fmt: skip
"""The operators that have a kernel for float16 on x86 (onnxruntime's docs/OperatorKernels.md)."""


def insert_casts(graph: Graph) -> Graph:
    """The graph as it runs on a CPU: nodes without a kernel for float16 work on float32, and Casts are where the types change.

    A node that has a kernel, but only neighbors without, works on float32, too.
    """
    if not any(tensor is not None and tensor.dtype == HALF for node in graph.nodes for tensor in (*node.inputs, *node.outputs)):
        return graph
    opset = graph.opsets.get("", 0)
    nodes = [part for node in graph.nodes for part in _inline(node, opset)]
    casts = _Casts(nodes, graph)
    made = [each for place, node in enumerate(nodes) for each in casts.convert(place, node)]
    symbols = graph.symbolic_dims
    if symbols is not None:
        symbols = {**symbols, **{new: symbols[old] for new, old in casts.copies.items() if old in symbols}}
    return replace(graph, nodes=tuple(made), symbolic_dims=symbols)


class _Casts:
    """The values of each type while the nodes are converted one after the other."""

    def __init__(self, nodes: list[Node], graph: Graph) -> None:
        self.uses = DefUse(nodes, graph.outputs)
        lacking = {place for place, node in enumerate(nodes) if node.key not in HALF_KERNELS and _halves(node)}
        self.single = lacking | {place for place, node in enumerate(nodes) if self._is_isolated(node, lacking)}
        self.wide: dict[str, Tensor] = {}
        """The float32 of a value that the original graph has as float16."""
        self.narrow: dict[str, Tensor] = {}
        """The float16, where it has another name."""
        self.shared: dict[object, Tensor] = {}
        """The float32 of constants that several nodes read."""
        constants = [{_identity(t) for t in _of_half(node.inputs) if t.is_constant} for node in nodes]
        self.readers = Counter(each for of_node in constants for each in of_node)
        self.same: dict[str, Tensor] = {}
        """What is read instead of a value that a Cast without effect made."""
        self.copies: dict[str, str] = {}
        """The value that one with a new name is a copy of."""

    def _is_isolated(self, node: Node, lacking: set[int]) -> bool:
        if node.key in CASTS or not _halves(node) or any(t is not None and t.name in self.uses.returned for t in node.outputs):
            return False
        makers = [self.uses.defined_at(tensor.name) for tensor in _of_half(node.inputs)]
        makers = [place for place in makers if place is not None]
        readers = [place for tensor in _of_half(node.outputs) for place in self.uses.positions(tensor.name)]
        return bool(makers) and lacking.issuperset((*makers, *readers))

    def convert(self, place: int, node: Node) -> Iterator[Node]:
        """The node with inputs and outputs of the types that it works on, and the Casts around it."""
        if not self.same.keys().isdisjoint([tensor.name for tensor in node.inputs if tensor is not None]):
            node = node.rewire([tensor and self.same.get(tensor.name, tensor) for tensor in node.inputs])
        if place in self.single:
            inputs = list(node.inputs)
            for index, tensor in enumerate(inputs):
                if tensor is not None and tensor.dtype == HALF:
                    if tensor.is_constant and node.key == "Pad":
                        inputs[index] = replace(tensor, dtype=SINGLE)  # PadFusion comes before the casts
                        continue
                    if tensor.name not in self.wide:
                        yield from self._widen(tensor)
                    inputs[index] = self.wide[tensor.name]
            narrowed = [tensor for tensor in _of_half(node.outputs) if self._is_read_as_half(tensor)]
            yield node.rewire(inputs, [tensor and self._single(tensor) for tensor in node.outputs])
            for tensor in narrowed:
                yield self._narrow(tensor)
        elif node.key == "Cast" and self._is_undone(node):
            self.wide[node.out.name] = node.x
            if self._is_read_as_half(node.out):
                yield node
        elif node.key == "Cast" and node.out.dtype == SINGLE and node.x.name in self.wide:
            if node.out.name in self.uses.returned:
                yield node.rewire((self.wide[node.x.name],))
            else:
                self.same[node.out.name] = self.wide[node.x.name]
        else:
            yield node.rewire([tensor and self.narrow.get(tensor.name, tensor) for tensor in node.inputs])

    @staticmethod
    def _is_undone(node: Node) -> bool:
        return node.x.dtype == SINGLE and node.out.dtype == HALF

    def _is_read_as_half(self, tensor: Tensor) -> bool:
        """Whether a node that works on float16, or the caller, reads it; a Cast back to float32 does not need it."""
        readers = (place for place in self.uses.positions(tensor.name) if place not in self.single)
        as_half = (node for node in map(self.uses.nodes.__getitem__, readers) if node.key != "Cast" or node.out.dtype != SINGLE)
        return tensor.name in self.uses.returned or any(True for _ in as_half)

    def _widen(self, tensor: Tensor) -> Iterator[Node]:
        """A constant is cast when the session is created, if one node reads it; others are in each run, equal ones as one."""
        if tensor.is_constant and self.readers[_identity(tensor)] == 1:
            self.wide[tensor.name] = replace(tensor, dtype=SINGLE)
            return
        if tensor.is_constant and _identity(tensor) in self.shared:
            self.wide[tensor.name] = self.shared[_identity(tensor)]
            return
        made = replace(tensor, name=f"{tensor.name}/float32", dtype=SINGLE, is_constant=False)
        self.wide[tensor.name], self.copies[made.name] = made, tensor.name
        if tensor.is_constant:
            self.shared[_identity(tensor)] = made
        yield Node(made.name, "Cast", "", (self.narrow.get(tensor.name, tensor),), (made,), {"to": 1})

    def _single(self, tensor: Tensor) -> Tensor:
        """The output as float32, under the value's name unless the caller reads that."""
        if tensor.dtype != HALF:
            return tensor
        is_returned = tensor.name in self.uses.returned
        made = replace(tensor, name=f"{tensor.name}/float32" if is_returned else tensor.name, dtype=SINGLE)
        self.wide[tensor.name], self.copies[made.name] = made, tensor.name
        return made

    def _narrow(self, tensor: Tensor) -> Node:
        made = tensor if tensor.name in self.uses.returned else replace(tensor, name=f"{tensor.name}/float16")
        self.narrow[tensor.name], self.copies[made.name] = made, tensor.name
        return Node(made.name, "Cast", "", (self.wide[tensor.name],), (made,), {"to": 10})


MOST_SHARED = 8
"""The elements of the largest constants of which onnxruntime keeps equal ones once: ConstantSharing."""


def _identity(tensor: Tensor) -> object:
    """What is the same for constants that onnxruntime keeps once."""
    is_small = tensor.value is not None and tensor.size <= MOST_SHARED
    return (tensor.dims, tensor.value) if is_small else tensor.name


def _of_half(tensors: Iterable[Tensor | None]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor is not None and tensor.dtype == HALF]


def _halves(node: Node) -> bool:
    return any(tensor is not None and tensor.dtype == HALF for tensor in (*node.inputs, *node.outputs))


_FUNCTIONS = {"Relu": 18, "Softmax": 13, "LogSoftmax": 13}
"""Functions without a kernel for float16, and the first opset in which onnx defines what they consist of."""


def _inline(node: Node, opset: int) -> list[Node]:
    """The nodes of a function without a kernel for float16; other nodes as they are."""
    if opset < _FUNCTIONS.get(node.key, opset + 1) or node.x.dtype != HALF or not node.out.is_shaped:
        return [node]

    def part(op_type: str, *inputs: Tensor, out: Tensor | None = None, attributes: dict[str, int] | None = None) -> Node:
        made = out or replace(inputs[0], name=f"{node.out.name}/{op_type}")
        return Node(made.name, op_type, "", inputs, (made,), attributes or {}, node.scope, node.repeat)

    x, y = node.x, node.out
    if node.key == "Relu":
        return [part("Max", x, Tensor(f"{y.name}/zero", HALF, (), is_constant=True), out=y)]
    axis = int(node.attributes.get("axis", -1)) % x.rank
    rows = replace(x, dims=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    axes = Tensor("", "int64", (1,), is_constant=True, value=(axis,))
    high = part("ReduceMax", x, axes, out=replace(rows, name=f"{y.name}/high"))
    less = part("Sub", x, high.out)
    powers = part("Exp", less.out)
    total = part("ReduceSum", powers.out, axes, out=replace(rows, name=f"{y.name}/total"))
    if node.key == "Softmax":
        return [high, less, powers, total, part("Div", powers.out, total.out, out=y)]
    log = part("Log", total.out)
    return [high, less, powers, total, log, part("Sub", less.out, log.out, out=y)]
