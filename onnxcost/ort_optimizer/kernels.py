"""The kernels that run for a node: their families, and the quantities that their times depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import NamedTuple

from onnxcost.formulas.contraction import einsum
from onnxcost.graph import BITS, Node, Tensor
from onnxcost.operators.traits import GATHERS, POOLS, RECURRENT, VIEWS
from onnxcost.ort_optimizer.fusion import FusedNode, axes_of, constants_of
from onnxcost.ort_optimizer.layout import BLOCK

Quantities = tuple[float, ...]


class Family(NamedTuple):
    """The quantities that the times of a family's kernels depend on: their names, and how to compute them for a node."""

    names: tuple[str, ...]
    measure: Callable[[Node], Quantities]


def _pad_channels(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


def _gemm(node: Node) -> Quantities:
    """MACs, and the elements of the input, the weights and the output."""
    inner = node.x.shape[0 if node.attributes.get("transA") and node.x.rank == 2 else -1]
    return (float(node.out.size * inner), float(node.x.size), float(node.required(weight_of(node)).size), float(node.out.size))


def weight_of(node: Node) -> int:
    """Which input holds the weights."""
    return 3 if node.op_type in ("QLinearMatMul", "QLinearConv") else 1


def _conv(node: Node) -> Quantities:
    weight = node.required(weight_of(node)).shape
    return (float(node.out.size * prod(weight[1:])), float(node.x.size), float(prod(weight)), float(node.out.size))


def _transposed_conv(node: Node) -> Quantities:
    """As ``_gemm``: every input element is multiplied with all weights of its channel."""
    weight = node.required(1)
    return (float(node.x.size * prod(weight.shape[1:])), float(node.x.size), float(weight.size), float(node.out.size))


def _blocked_conv(node: Node) -> Quantities:
    """As ``_conv``, with channels padded to whole blocks."""
    weight = node.required(1).shape
    filled = _pad_channels(weight[0]) / weight[0]
    inner = weight[1] if weight[1] < BLOCK else _pad_channels(weight[1])
    size, kernel = node.out.size * filled, prod(weight[2:])
    return (size * inner * kernel, float(node.x.size), weight[0] * filled * inner * kernel, size)


def _einsum(node: Node) -> Quantities:
    """As ``_gemm``."""
    return tuple(map(float, (einsum(node).macs, node.x.size, node.required(1).size if node.input(1) else 0, node.out.size)))


def _windows(node: Node) -> Quantities:
    """Elements of all windows, and elements of the output."""
    kernel = prod(node.attributes.get("kernel_shape") or node.x.shape[2:])
    return (float(node.out.size * kernel), float(node.out.size))


def _depthwise(node: Node) -> Quantities:
    """MACs, inputs and outputs; a node that only scales channels counts as a convolution of one element."""
    kernel = node.required(weight_of(node)).shape[1:] if "Conv" in node.op_type else ()
    return (float(node.out.size * prod(kernel)), float(node.x.size), float(node.out.size))


def elements(node: Node) -> Quantities:
    """Elements of the largest tensor that is not a constant."""
    tensors = (node.out, *(tensor for tensor in node.inputs if tensor is not None and not tensor.is_constant))
    return (float(max(map(_size, tensors))),)


def _movement(node: Node) -> Quantities:
    """Bytes that are written."""
    outputs = [tensor for tensor in node.outputs if tensor is not None]
    return (float(sum(_size(t) * BITS.get(t.dtype, 32) / 8 for t in outputs)),)


def _pieces(node: Node) -> int:
    """The number of contiguous pieces that are copied."""
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
    if node.op_type == "Gather":
        axis = int(node.attributes.get("axis", 0)) % node.x.rank
        return node.out.size // prod(node.x.shape[axis + 1 :])
    if node.op_type == "Slice":
        kept = 1
        for before, after in zip(node.x.shape[::-1], out[::-1], strict=True):
            kept *= after
            if before != after:
                break
        return node.out.size // kept
    return node.out.size // out[-1]


def _rows(node: Node) -> Quantities:
    """Elements, and rows: all dims before the axis."""
    axis = int(node.attributes.get("axis", -1))
    axis = axis % node.x.rank if node.x.rank else 0
    return (float(node.x.size), float(prod(node.x.shape[:axis])))


def _recurrent(node: Node) -> Quantities:
    """MACs of the inputs, MACs of the states, steps, and elements of the weights."""
    steps, batch, _ = node.x.shape
    inputs, states = node.required(1), node.required(2)
    directions = inputs.shape[0]
    macs = (steps * batch * inputs.size, steps * batch * states.size)
    return tuple(map(float, (*macs, steps * directions, inputs.size + states.size)))


def _size(tensor: Tensor) -> int:
    return tensor.size if tensor.is_shaped else 0


_PRODUCTS = ("MACs", "inputs", "weights", "outputs")
_BLOCKS, _DEPTHWISE = Family(_PRODUCTS, _blocked_conv), Family(("MACs", "inputs", "outputs"), _depthwise)
_CONV, _GEMM = Family(_PRODUCTS, _conv), Family(_PRODUCTS, _gemm)
_WINDOWS = Family(("window elements", "outputs"), _windows)
_REDUCED = Family(("elements", "outputs"), lambda node: (float(node.x.size), float(node.out.size)))
_ELEMENTS, _ROWS = Family(("elements",), elements), Family(("elements", "rows"), _rows)
_RUNS = Family(("bytes written", "pieces"), lambda node: (*_movement(node), float(_pieces(node))))

FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(("conv-blocked", "conv-blocked-pointwise", "conv-blocked-first", "conv-blocked-grouped"), _BLOCKS),
    **dict.fromkeys(("conv-blocked-depthwise", "conv-plain-depthwise", "conv-int8-depthwise"), _DEPTHWISE),
    **dict.fromkeys(("conv-int8-ragged", "conv-int8-signed-depthwise", "conv-int8-signed-ragged"), _DEPTHWISE),
    **dict.fromkeys(("conv-plain", "conv-plain-grouped", "conv-plain-pointwise"), _CONV),
    **dict.fromkeys(("conv-int8", "conv-int8-grouped", "conv-int8-signed", "conv-int8-signed-grouped", "conv-integer"), _CONV),
    "conv-transposed": Family(_PRODUCTS, _transposed_conv),
    **dict.fromkeys(("gemm", "matmul", "gemm-int8", "matmul-int8", "matmul-integer"), _GEMM),
    "einsum": Family(_PRODUCTS, _einsum),
    "recurrent": Family(("input MACs", "state MACs", "steps", "weights"), _recurrent),
    **dict.fromkeys(("pool", "pool-blocked"), _WINDOWS),
    **dict.fromkeys(("global-pool", "global-pool-blocked", "reduce", "reduce-before", "reduce-slow"), _REDUCED),
    **dict.fromkeys(("softmax", "softmax-across", "softmax-int8", "layernorm", "skip-layernorm"), _ROWS),
    **dict.fromkeys(("cheap", "binary", "broadcast", "where", "pow", "cast", "sqrt"), _ELEMENTS),
    **dict.fromkeys(("hard", "sigmoid", "tanh", "exp", "erf"), _ELEMENTS),
    **dict.fromkeys(("gelu", "bias-gelu", "quick-gelu", "batchnorm", "instancenorm", "lrn"), _ELEMENTS),
    **dict.fromkeys(("quantize", "dequantize", "dynamic-quantize", "binary-int8"), _ELEMENTS),
    **dict.fromkeys(("fused-clip", "fused-sigmoid", "fused-hard", "residual", "gemm-bias"), _ELEMENTS),
    **dict.fromkeys(("reorder", "reorder-last"), _ELEMENTS),
    **dict.fromkeys(("transpose", "transpose-rows", "transpose-scattered"), _RUNS),
    **dict.fromkeys(("concat", "split", "gather", "slice", "pad", "expand"), _RUNS),
    **dict.fromkeys(("resize", "resize-linear", "resize-cubic", "other"), Family(("bytes written",), _movement)),
    **dict.fromkeys(("view", "call"), Family((), lambda node: ())),
}  # fmt: skip
"""The quantities of each family, besides the number of calls."""

CONTRACTIONS = frozenset(name for name in FAMILIES if name.startswith(("conv", "gemm", "matmul", "recurrent")))
"""The families whose kernels read all of their weights."""
ELEMENTWISE = frozenset(name for name, family in FAMILIES.items() if family.measure is elements)
"""The families whose kernels may write over what they read."""


class KernelRun(NamedTuple):
    """The runs of a kernel: its family, the family's quantities, and how often it runs in one inference."""

    family: str
    quantities: Quantities
    times: int = 1


def kernel_runs(step: FusedNode) -> Iterator[KernelRun]:
    """The kernels that a step runs: its own, and those that convert tensors to its layout and back."""
    repeat = step.node.repeat
    for tensor in step.reordered:
        yield _reordering(tensor, step.channels_last, repeat)
    family = family_of(step)
    yield KernelRun(family, FAMILIES[family].measure(step.node), repeat)
    yield KernelRun("call", (), repeat)
    if step.node.op_type == "HardSwish" and not step.kind:
        # onnxruntime has no kernel for HardSwish: it runs a HardSigmoid and a Mul.
        yield KernelRun("binary", elements(step.node), repeat)
    cold = sum(tensor.nbytes for tensor in constants_of(step.node))
    if cold and family in CONTRACTIONS:
        is_vector = family.startswith("gemm") and step.node.x.size == step.node.x.shape[-1]
        weights = "cold-conv" if family.startswith("conv") else "cold-vector" if is_vector else "cold"
        yield KernelRun(weights, (float(cold),), repeat)
    for tensor in step.residuals:
        yield KernelRun("residual", (float(tensor.size),), repeat)
    biased = family == "gemm" and any(node.op_type == "Add" for node in step.absorbed)
    if biased and step.node.x.rank > 2:
        # onnxruntime reshapes it to a matrix before the product, and back after it.
        yield KernelRun("view", (), 2 * repeat)
    if biased or (family == "gemm" and step.node.input(2) is not None):
        # onnxruntime writes the bias to the result first, and adds the product to that.
        yield KernelRun("gemm-bias", (float(step.node.out.size),), repeat)
    # A probe of the kernel reads and writes these bytes again in each run.
    tensors = (tensor for tensor in (*step.node.inputs, *step.node.outputs) if tensor is not None and tensor.is_shaped)
    own = float(sum(tensor.nbytes for tensor in tensors))
    yield from (KernelRun("cold-values", (float(reuse.nbytes), reuse.distance, own), repeat) for reuse in step.reuses)
    if step.is_blocked and step.node.op_type == "Conv":
        activations = (_ACTIVATIONS.get(node.op_type) for node in step.absorbed)
        yield from (KernelRun(kind, elements(step.node), repeat) for kind in activations if kind)


def _reordering(tensor: Tensor, channels_last: bool, repeat: int) -> KernelRun:
    """Floats are reordered by a kernel of their own, integers by a Transpose."""
    size = float(tensor.size)
    if tensor.dtype == "float32":
        return KernelRun("reorder-last" if channels_last else "reorder", (size,), repeat)
    return KernelRun("transpose", (float(tensor.nbytes), size), repeat)


_ACTIVATIONS: Mapping[str, str] = {
    **dict.fromkeys(("Clip", "LeakyRelu"), "fused-clip"), **dict.fromkeys(("HardSigmoid", "HardSwish"), "fused-hard"),
    **dict.fromkeys(("Sigmoid", "Tanh"), "fused-sigmoid"),
}  # fmt: skip
"""Activations that take extra time even when they are fused into a convolution; Relu takes none."""

WHOLE = 16
"""The fast kernel for depthwise convolutions of integers needs a multiple of this many channels."""

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
    "pool": (*POOLS, "QLinearAveragePool"),
    "global-pool": ("GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool"),
    "reorder": ("ReorderInput", "ReorderOutput"), "einsum": ("Einsum",), "transpose": ("Transpose",),
    "concat": ("Concat", "QLinearConcat"), "split": ("Split",), "slice": ("Slice",), "pad": ("Pad",),
    "gather": tuple(GATHERS), "resize": ("Resize", "Upsample"), "expand": ("Expand", "Tile"),
    "recurrent": tuple(RECURRENT), "conv-transposed": ("ConvTranspose",),
    "quantize": ("QuantizeLinear",), "dequantize": ("DequantizeLinear",), "dynamic-quantize": ("DynamicQuantizeLinear",),
    "matmul-integer": ("MatMulInteger",), "conv-integer": ("ConvInteger",),
    "gemm-int8": ("QLinearMatMul", "QLinearGemm", "MatMulNBits"),
    "binary-int8": ("QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu"),
}  # fmt: skip
_BY_OPERATOR = {operator: family for family, operators in _FAMILIES_OF.items() for operator in operators}


def family_of(step: FusedNode) -> str:
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
        # onnxruntime turns it into a depthwise convolution of one element.
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
    if family == "binary":
        sizes = {tensor.size for tensor in node.inputs if tensor is not None}
        return "broadcast" if len(sizes) > 1 and min(sizes) > 1 else family
    return family


def _transpose_family(node: Node) -> str:
    """onnxruntime has a fast loop for a single dim that moves, and one for transposes that keep rows whole."""
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
"""Exponents for which onnxruntime multiplies instead."""


def _conv_family(step: FusedNode) -> str:
    node = step.node
    weight, groups = node.required(weight_of(node)).shape, int(node.attributes.get("group", 1))
    depthwise = groups > 1 and weight[1] == 1
    if step.kind or node.op_type == "QLinearConv":
        # An input from a QuantizeLinear of its own becomes uint8; another int8 input stays int8, which some machines have
        # no instructions for.
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
