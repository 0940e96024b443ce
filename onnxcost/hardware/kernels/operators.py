"""From what is executed to the kernels that run: a table of operators and their families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import NamedTuple

from onnxcost.graph import Node, Tensor
from onnxcost.hardware.kernels.blocks import BLOCK
from onnxcost.hardware.kernels.executed import Executed, axes_of, constants_of
from onnxcost.hardware.kernels.families import CONTRACTIONS, FAMILIES, Quantities, elements, weight_of
from onnxcost.traffic import VIEWS


class Task(NamedTuple):
    """A kernel's run: its family, the family's quantities, and how often it runs in one inference."""

    family: str
    quantities: Quantities
    times: int = 1


def tasks(step: Executed) -> Iterator[Task]:
    """The kernels that a step runs: its own, and those that bring tensors into blocks and out of them."""
    repeat = step.node.repeat
    for tensor in step.reordered:
        yield _reordering(tensor, step.turns, repeat)
    family = family_of(step)
    yield Task(family, FAMILIES[family].measure(step.node), repeat)
    yield Task("call", (), repeat)
    if step.node.op_type == "HardSwish" and not step.kind:
        # Onnxruntime has no kernel for it alone: it multiplies with a HardSigmoid.
        yield Task("binary", elements(step.node), repeat)
    cold = sum(tensor.nbytes for tensor in constants_of(step.node))
    if cold and family in CONTRACTIONS:
        yield Task(_cold_family(step.node, family), (float(cold),), repeat)
    for tensor in step.residuals:
        yield Task("residual", (float(tensor.size),), repeat)
    biased = family == "gemm" and any(node.op_type == "Add" for node in step.absorbed)
    if biased and step.node.x.rank > 2:
        # Onnxruntime makes rows of it before the product, and brings them back.
        yield Task("view", (), 2 * repeat)
    if biased or (family == "gemm" and step.node.input(2) is not None):
        # Onnxruntime writes the bias into the result first, and adds the product to that.
        yield Task("gemm-bias", (float(step.node.out.size),), repeat)
    own = _own_bytes(step)
    yield from (Task("cold-values", (float(recall.nbytes), recall.distance, own), repeat) for recall in step.recalls)
    if step.is_blocked and step.node.op_type == "Conv":
        activations = (_ACTIVATIONS.get(node.op_type) for node in step.absorbed)
        yield from (Task(kind, elements(step.node), repeat) for kind in activations if kind)


def _reordering(tensor: Tensor, turns: bool, repeat: int) -> Task:
    """Floats are brought into blocks by a kernel of their own, integers by a Transpose."""
    size = float(tensor.size)
    if tensor.dtype == "float32":
        return Task("reorder-last" if turns else "reorder", (size,), repeat)
    return Task("transpose", (float(tensor.nbytes), size), repeat)


def _own_bytes(step: Executed) -> float:
    """All that it reads and writes, as a probe of it does over and over."""
    tensors = (tensor for tensor in (*step.node.inputs, *step.node.outputs) if tensor is not None)
    return float(sum(tensor.nbytes for tensor in tensors if tensor.is_shaped))


def _cold_family(node: Node, family: str) -> str:
    if family.startswith("conv"):
        return "cold-conv"
    return "cold-vector" if family.startswith("gemm") and node.x.size == node.x.shape[-1] else "cold"


_ACTIVATIONS: Mapping[str, str] = {
    **dict.fromkeys(("Clip", "LeakyRelu"), "fused-clip"), **dict.fromkeys(("HardSigmoid", "HardSwish"), "fused-hard"),
    **dict.fromkeys(("Sigmoid", "Tanh"), "fused-sigmoid"),
}  # fmt: skip
"""What takes time even where a convolution does it; Relu does not."""

WHOLE = 16
"""The quick kernel for depthwise convolutions of integers wants a multiple of so many channels."""

_FAMILIES_OF: Mapping[str, tuple[str, ...]] = {
    "view": (*sorted(VIEWS), "Shape", "Size", "Constant", "ConstantOfShape", "Range"),
    "cheap": ("Relu", "Neg", "Abs", "Clip", "LeakyRelu", "PRelu", "Not", "Floor", "Ceil", "Sign", "ThresholdedRelu"),
    "binary": ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Mod", "And", "Or",
               "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"),
    "exp": ("Exp", "Log", "Sin", "Cos", "Softplus", "Elu", "Selu", "Softsign", "Mish"),
    "sqrt": ("Sqrt", "Reciprocal"), "hard": ("HardSigmoid", "HardSwish"), "sigmoid": ("Sigmoid",), "tanh": ("Tanh",),
    "erf": ("Erf",), "gelu": ("Gelu", "FastGelu"), "bias-gelu": ("BiasGelu",), "quick-gelu": ("QuickGelu",), "pow": ("Pow",),
    "where": ("Where",), "cast": ("Cast",), "softmax": ("Softmax", "LogSoftmax"), "softmax-int8": ("QLinearSoftmax",),
    "layernorm": ("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"),
    "skip-layernorm": ("SkipLayerNormalization",), "batchnorm": ("BatchNormalization",),
    "instancenorm": ("InstanceNormalization", "GroupNormalization"), "lrn": ("LRN",),
    "reduce": ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1", "ReduceProd", "ReduceSumSquare",
               "ArgMax", "ArgMin"),
    "pool": ("MaxPool", "AveragePool", "LpPool", "QLinearAveragePool"),
    "global-pool": ("GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool"),
    "reorder": ("ReorderInput", "ReorderOutput"), "einsum": ("Einsum",), "transpose": ("Transpose",),
    "concat": ("Concat", "QLinearConcat"), "split": ("Split",), "slice": ("Slice",), "pad": ("Pad",),
    "gather": ("Gather", "GatherND", "GatherElements"), "resize": ("Resize", "Upsample"), "expand": ("Expand", "Tile"),
    "recurrent": ("LSTM", "GRU", "RNN"), "conv-transposed": ("ConvTranspose",),
    "quantize": ("QuantizeLinear",), "dequantize": ("DequantizeLinear",), "dynamic-quantize": ("DynamicQuantizeLinear",),
    "matmul-integer": ("MatMulInteger",), "conv-integer": ("ConvInteger",), "gemm-int8": ("QLinearMatMul", "QLinearGemm"),
    "binary-int8": ("QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu"),
}  # fmt: skip
_BY_OPERATOR = {operator: family for family, operators in _FAMILIES_OF.items() for operator in operators}


def family_of(step: Executed) -> str:
    """The family of the kernel that a step runs."""
    node = step.node
    kind = step.kind or node.op_type
    if kind in ("Conv", "QLinearConv"):
        return _conv_family(step)
    if kind in ("MatMul", "Gemm", "FusedMatMul"):
        return "gemm" if node.required(1).is_constant and node.required(1).rank == 2 else "matmul"
    family = _BY_OPERATOR.get(kind, "other")
    if family == "gemm-int8" and not node.required(weight_of(node)).is_constant:
        return "matmul-int8"
    if family == "softmax" and int(node.attributes.get("axis", -1)) % node.x.rank != node.x.rank - 1:
        return "softmax-across"
    if step.is_blocked and kind in ("BatchNormalization", "Mul") and any(t is not None and t.is_constant for t in node.inputs):
        # Onnxruntime makes a convolution of one element a channel of it.
        return "conv-blocked-depthwise"
    if family == "transpose":
        return _transpose_family(node)
    if family == "reduce":
        return _reduce_family(node)
    if family == "reorder" and node.attributes.get("channels_last"):
        return "reorder-last"
    if step.is_blocked and f"{family}-blocked" in FAMILIES:
        return f"{family}-blocked"
    if family == "pow" and node.required(1).value in _QUICK_POWERS:
        return "cheap"
    if family == "resize":
        return _RESIZES.get(node.attributes.get("mode", "nearest"), family)
    if family == "binary" and _broadcasts(node):
        return "broadcast"
    return family


def _transpose_family(node: Node) -> str:
    """Onnxruntime has a quick loop where a single dim changes its place, and one for rows that stay together."""
    order = [int(axis) for axis in node.attributes.get("perm") or range(node.x.rank)[::-1]]
    moved = [axis for axis in order if node.x.shape[axis] > 1]
    if moved == sorted(moved):
        return "view"
    if order[-1] == node.x.rank - 1:
        return "transpose-rows"
    others = ([axis for axis in order if axis != left_out] for left_out in order)
    return "transpose" if any(rest == sorted(rest) for rest in others) else "transpose-scattered"


def _reduce_family(node: Node) -> str:
    if node.op_type not in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"):
        return "reduce-slow"
    dims = list(range(node.x.rank))
    reduced = sorted(axes_of(node)) or dims
    return "reduce" if reduced == dims[-len(reduced) :] else "reduce-before"


_RESIZES: Mapping[str, str] = {"linear": "resize-linear", "cubic": "resize-cubic"}
_QUICK_POWERS = ((2.0,), (3.0,))
"""Exponents that onnxruntime multiplies out."""


def _broadcasts(node: Node) -> bool:
    sizes = {tensor.size for tensor in node.inputs if tensor is not None}
    return len(sizes) > 1 and min(sizes) > 1


def _conv_family(step: Executed) -> str:
    node = step.node
    weight, groups = node.required(weight_of(node)).shape, int(node.attributes.get("group", 1))
    depthwise = groups > 1 and weight[1] == 1
    if step.kind or node.op_type == "QLinearConv":
        # What a QuantizeLinear makes for it is brought to uint8; what comes as int8 stays that, and some machines have no
        # instructions for it.
        signed = "-signed" if node.op_type == "QLinearConv" and node.x.dtype == "int8" else ""
        grouped = "-grouped" if groups > 1 else ""
        return f"conv-int8{signed}{('-ragged' if weight[0] % WHOLE else '-depthwise') if depthwise else grouped}"
    if not step.is_blocked:
        if prod(weight[2:]) == 1:
            return "conv-plain-pointwise"
        return "conv-plain-depthwise" if depthwise else "conv-plain-grouped" if groups > 1 else "conv-plain"
    if depthwise:
        return "conv-blocked-depthwise"
    if groups > 1:
        return "conv-blocked-grouped"
    if weight[1] < BLOCK:
        return "conv-blocked-first"
    return "conv-blocked-pointwise" if prod(weight[2:]) == 1 else "conv-blocked"
