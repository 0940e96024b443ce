"""Families of kernels whose time is told by the same few quantities, and the quantities of what is executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import NamedTuple

from onnxcost.graph import BITS, Node, Tensor
from onnxcost.hardware.executed import ALIGNMENT, BLOCK, Executed
from onnxcost.traffic import VIEWS

Quantities = tuple[float, ...]


class Task(NamedTuple):
    """A kernel's run: its family, the family's quantities, and how often it runs in one inference."""

    family: str
    quantities: Quantities
    times: int = 1


Measure = Callable[[Node], Quantities]


def tasks(step: Executed) -> Iterator[Task]:
    """The kernels that a step runs: its own, and those that bring tensors into blocks and out of them."""
    for tensor in step.reordered:
        yield Task("reorder", (float(tensor.size),), step.node.repeat)
    family = family_of(step)
    quantities = FAMILIES[family](step.node)
    if step.residuals:
        extra = float(sum(tensor.size for tensor in step.residuals))
        yield Task("residual", (extra,), step.node.repeat)
    yield Task(family, quantities, step.node.repeat)


def _padded(channels: int, block: int = BLOCK) -> int:
    return -(-channels // block) * block


def _gemm(node: Node) -> Quantities:
    """macs, elements of the input, of the weights, and of the output."""
    inner = node.x.shape[0 if node.attributes.get("transA") and node.x.rank == 2 else -1]
    return (float(node.out.size * inner), float(node.x.size), float(node.required(_weight_of(node)).size), float(node.out.size))


def _weight_of(node: Node) -> int:
    return 3 if node.op_type in ("QLinearMatMul", "QLinearConv") else 1


def _conv(node: Node) -> Quantities:
    weight = node.required(_weight_of(node)).shape
    return (float(node.out.size * prod(weight[1:])), float(node.x.size), float(prod(weight)), float(node.out.size))


def _blocked_conv(node: Node) -> Quantities:
    """As ``_conv``, of channels padded to whole blocks."""
    weight = node.required(1).shape
    filled = _padded(weight[0]) / weight[0]
    inner = weight[1] if weight[1] < BLOCK else _padded(weight[1])
    size, kernel = node.out.size * filled, prod(weight[2:])
    return (size * inner * kernel, float(node.x.size), weight[0] * filled * inner * kernel, size)


def _windows(node: Node) -> Quantities:
    """Elements in all windows, and those of the output."""
    kernel = prod(node.attributes.get("kernel_shape") or node.x.shape[2:])
    return (float(node.out.size * kernel), float(node.out.size))


def _depthwise(node: Node) -> Quantities:
    weight = node.required(_weight_of(node)).shape
    return (float(node.out.size * prod(weight[1:])), float(node.x.size), float(node.out.size))


def _elements(node: Node) -> Quantities:
    return (float(max(_size(node.out), max((_size(t) for t in node.inputs if t is not None and not t.is_constant), default=0))),)


def _moved(node: Node) -> Quantities:
    """Bytes that are written, and elements."""
    outputs = [tensor for tensor in node.outputs if tensor is not None]
    return (float(sum(_size(t) * BITS.get(t.dtype, 32) / 8 for t in outputs)),)


def _runs(node: Node) -> Quantities:
    """Bytes written, and pieces that lie in one."""
    return (_moved(node)[0], float(_pieces(node)))


def _pieces(node: Node) -> int:
    """How many contiguous pieces a movement is made of."""
    out = node.out.shape
    if not out or not node.out.size:
        return 1
    if node.op_type == "Transpose":
        order = node.attributes.get("perm") or range(len(out))[::-1]
        kept = 1
        for axis in range(len(out) - 1, -1, -1):
            if list(order)[axis] != axis:
                break
            kept *= out[axis]
        return node.out.size // kept
    if node.op_type in ("Concat", "Split"):
        axis = int(node.attributes.get("axis", 0))
        shape = out if node.op_type == "Concat" else node.x.shape
        return prod(shape[: axis % len(shape)]) * max(len(node.inputs), len(node.outputs))
    return node.out.size // out[-1]


def _rows(node: Node) -> Quantities:
    """Elements, and the rows that they are in."""
    axis = int(node.attributes.get("axis", -1))
    axis = axis % node.x.rank if node.x.rank else 0
    return (float(node.x.size), float(prod(node.x.shape[:axis])))


def _reduced(node: Node) -> Quantities:
    return (float(node.x.size), float(node.out.size))


def _nothing(node: Node) -> Quantities:
    return ()


def _recurrent(node: Node) -> Quantities:
    """macs of the inputs, macs of the states, steps, and elements of the weights."""
    steps, batch, _ = node.x.shape
    inputs, states = node.required(1), node.required(2)
    directions = inputs.shape[0]
    return (
        float(steps * batch * inputs.size), float(steps * batch * states.size), float(steps * directions), float(inputs.size + states.size)
    )  # fmt: skip


def _size(tensor: Tensor) -> int:
    return tensor.size if tensor.is_shaped else 0


FAMILIES: Mapping[str, Measure] = {
    "conv-blocked": _blocked_conv, "conv-blocked-pointwise": _blocked_conv, "conv-blocked-strided": _blocked_conv, "conv-blocked-first": _blocked_conv,
    "conv-blocked-depthwise": _depthwise, "conv-blocked-grouped": _blocked_conv, "conv-plain": _conv, "conv-plain-grouped": _conv, "conv-transposed": _conv,
    "conv-plain-depthwise": _depthwise,
    "conv-int8": _conv, "conv-int8-depthwise": _depthwise, "conv-integer": _conv,
    "gemm": _gemm, "matmul": _gemm, "gemm-int8": _gemm, "matmul-integer": _gemm,
    "pool": _windows, "pool-blocked": _windows, "global-pool": _reduced, "global-pool-blocked": _reduced,
    "reduce": _reduced, "softmax": _rows, "layernorm": _rows, "batchnorm": _elements, "instancenorm": _elements, "lrn": _elements,
    "cheap": _elements, "binary": _elements, "broadcast": _elements, "where": _elements, "pow": _elements, "cast": _elements, "sigmoid": _elements, "tanh": _elements, "exp": _elements,
    "erf": _elements, "gelu": _elements, "quick-gelu": _elements, "sqrt": _elements, "hard": _elements,
    "quantize": _elements, "dequantize": _elements, "dynamic-quantize": _elements, "binary-int8": _elements,
    "transpose": _runs, "concat": _runs, "gather": _runs, "slice": _runs, "pad": _runs, "resize": _moved, "expand": _runs,
    "recurrent": _recurrent, "view": _nothing, "other": _moved,
}  # fmt: skip
"""The quantities of each family; the number of calls is one more in all."""

_BY_OPERATOR: Mapping[str, str] = {
    **dict.fromkeys(VIEWS, "view"),
    **dict.fromkeys(("Shape", "Size", "Constant", "ConstantOfShape", "Range"), "view"),
    **dict.fromkeys(("Relu", "Neg", "Abs", "Clip", "LeakyRelu", "PRelu", "Not", "Floor", "Ceil", "Sign", "ThresholdedRelu"), "cheap"),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Equal", "Less", "Greater", "LessOrEqual",
                     "GreaterOrEqual", "And", "Or", "Mod"), "binary"),
    **dict.fromkeys(("Exp", "Log", "Sin", "Cos", "Softplus", "Elu", "Selu", "Softsign", "Mish"), "exp"),
    **dict.fromkeys(("Sqrt", "Reciprocal"), "sqrt"), **dict.fromkeys(("HardSigmoid", "HardSwish"), "hard"),
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Erf": "erf", "Gelu": "gelu", "QuickGelu": "quick-gelu", "Pow": "pow", "Where": "where", "Cast": "cast",
    "com.microsoft.Gelu": "gelu", "com.microsoft.QuickGelu": "quick-gelu",
    "Softmax": "softmax", "LogSoftmax": "softmax", "LayerNormalization": "layernorm", "SimplifiedLayerNormalization": "layernorm", "RMSNormalization": "layernorm",
    "BatchNormalization": "batchnorm", "InstanceNormalization": "instancenorm", "GroupNormalization": "instancenorm", "LRN": "lrn",
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1", "ReduceProd", "ReduceSumSquare", "ArgMax", "ArgMin"), "reduce"),
    "GlobalAveragePool": "global-pool", "GlobalMaxPool": "global-pool", "MaxPool": "pool", "AveragePool": "pool", "LpPool": "pool",
    "Transpose": "transpose", "Concat": "concat", "Split": "concat", "Gather": "gather", "GatherND": "gather", "GatherElements": "gather",
    "Slice": "slice", "Pad": "pad", "Resize": "resize", "Upsample": "resize", "Expand": "expand", "Tile": "expand",
    "LSTM": "recurrent", "GRU": "recurrent", "RNN": "recurrent", "ConvTranspose": "conv-transposed",
    "QuantizeLinear": "quantize", "DequantizeLinear": "dequantize", "DynamicQuantizeLinear": "dynamic-quantize",
    "MatMulInteger": "matmul-integer", "ConvInteger": "conv-integer",
    "QLinearMatMul": "gemm-int8", "QLinearGemm": "gemm-int8", "QLinearAdd": "binary-int8", "QLinearMul": "binary-int8", "QLinearSigmoid": "binary-int8",
    "QLinearLeakyRelu": "binary-int8", "QLinearConcat": "concat", "QLinearSoftmax": "softmax",
    "QLinearAveragePool": "pool", "QLinearGlobalAveragePool": "global-pool",
}  # fmt: skip


def family_of(step: Executed) -> str:
    """The family of the kernel that a step runs."""
    node = step.node
    kind = step.kind or node.key
    if kind in ("Conv", "QLinearConv"):
        return _conv_family(step)
    if kind in ("MatMul", "Gemm", "com.microsoft.FusedMatMul"):
        return "gemm" if node.required(1).is_constant and node.required(1).rank == 2 else "matmul"
    family = _BY_OPERATOR.get(kind, "other")
    if step.is_blocked and f"{family}-blocked" in FAMILIES:
        return f"{family}-blocked"
    if family == "binary" and _broadcasts(node):
        return "broadcast"
    return family


def _broadcasts(node: Node) -> bool:
    sizes = {tensor.size for tensor in node.inputs if tensor is not None}
    return len(sizes) > 1 and min(sizes) > 1


def _conv_family(step: Executed) -> str:
    node = step.node
    weight, groups = node.required(_weight_of(node)).shape, int(node.attributes.get("group", 1))
    depthwise = groups > 1 and weight[1] == 1
    if step.kind or node.op_type == "QLinearConv":
        return "conv-int8-depthwise" if depthwise else "conv-int8"
    if not step.is_blocked:
        return "conv-plain-depthwise" if depthwise else "conv-plain-grouped" if groups > 1 else "conv-plain"
    if depthwise:
        return "conv-blocked-depthwise"
    if groups > 1:
        return "conv-blocked-grouped"
    if weight[1] < BLOCK:
        return "conv-blocked-first"
    return "conv-blocked-pointwise" if prod(weight[2:]) == 1 else "conv-blocked"


def channels_fit(channels: int) -> bool:
    """Whether so many channels can be brought into blocks."""
    return channels % ALIGNMENT == 0
