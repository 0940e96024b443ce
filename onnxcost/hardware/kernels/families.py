"""Families of kernels whose time is told by the same few quantities, and how these follow from a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import NamedTuple

from onnxcost.formulas.contraction import einsum
from onnxcost.graph import BITS, Node, Tensor
from onnxcost.hardware.kernels.blocks import BLOCK

Quantities = tuple[float, ...]


class Family(NamedTuple):
    """What the time of a family's kernels depends on: the names of the quantities, and how they follow from a node."""

    names: tuple[str, ...]
    measure: Callable[[Node], Quantities]


def _padded(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


def _gemm(node: Node) -> Quantities:
    """macs, elements of the input, of the weights, and of the output."""
    inner = node.x.shape[0 if node.attributes.get("transA") and node.x.rank == 2 else -1]
    return (float(node.out.size * inner), float(node.x.size), float(node.required(weight_of(node)).size), float(node.out.size))


def weight_of(node: Node) -> int:
    """Which input holds the weights."""
    return 3 if node.op_type in ("QLinearMatMul", "QLinearConv") else 1


def _conv(node: Node) -> Quantities:
    weight = node.required(weight_of(node)).shape
    return (float(node.out.size * prod(weight[1:])), float(node.x.size), float(prod(weight)), float(node.out.size))


def _transposed_conv(node: Node) -> Quantities:
    """Each input is multiplied with all that it reaches."""
    weight = node.required(1)
    return (float(node.x.size * prod(weight.shape[1:])), float(node.x.size), float(weight.size), float(node.out.size))


def _blocked_conv(node: Node) -> Quantities:
    """As ``_conv``, of channels padded to whole blocks."""
    weight = node.required(1).shape
    filled = _padded(weight[0]) / weight[0]
    inner = weight[1] if weight[1] < BLOCK else _padded(weight[1])
    size, kernel = node.out.size * filled, prod(weight[2:])
    return (size * inner * kernel, float(node.x.size), weight[0] * filled * inner * kernel, size)


def _einsum(node: Node) -> Quantities:
    """As ``_gemm``."""
    return tuple(map(float, (einsum(node).macs, node.x.size, node.required(1).size if node.input(1) else 0, node.out.size)))


def _windows(node: Node) -> Quantities:
    """Elements in all windows, and those of the output."""
    kernel = prod(node.attributes.get("kernel_shape") or node.x.shape[2:])
    return (float(node.out.size * kernel), float(node.out.size))


def _depthwise(node: Node) -> Quantities:
    """Also of what only multiplies each channel, as a convolution of one element does."""
    kernel = node.required(weight_of(node)).shape[1:] if "Conv" in node.op_type else ()
    return (float(node.out.size * prod(kernel)), float(node.x.size), float(node.out.size))


def elements(node: Node) -> Quantities:
    """Those of the largest tensor that is no constant."""
    tensors = (node.out, *(tensor for tensor in node.inputs if tensor is not None and not tensor.is_constant))
    return (float(max(map(_size, tensors))),)


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
    macs = (steps * batch * inputs.size, steps * batch * states.size)
    return tuple(map(float, (*macs, steps * directions, inputs.size + states.size)))


def _size(tensor: Tensor) -> int:
    return tensor.size if tensor.is_shaped else 0


_PRODUCTS = ("MACs", "inputs", "weights", "outputs")
_BLOCKS, _DEPTHWISE = Family(_PRODUCTS, _blocked_conv), Family(("MACs", "inputs", "outputs"), _depthwise)
_CONV, _GEMM = Family(_PRODUCTS, _conv), Family(_PRODUCTS, _gemm)
_WINDOWS, _REDUCED = Family(("window elements", "outputs"), _windows), Family(("elements", "outputs"), _reduced)
_ELEMENTS, _ROWS = Family(("elements",), elements), Family(("elements", "rows"), _rows)
_RUNS = Family(("bytes written", "pieces"), _runs)

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
    **dict.fromkeys(("resize", "resize-linear", "resize-cubic", "other"), Family(("bytes written",), _moved)),
    **dict.fromkeys(("view", "call"), Family((), _nothing)),
}  # fmt: skip
"""The quantities of each family; the number of calls is one more in all."""

CONTRACTIONS = frozenset(name for name in FAMILIES if name.startswith(("conv", "gemm", "matmul", "recurrent")))
"""The families whose kernels go through weights from end to end."""
ELEMENTWISE = frozenset(name for name, family in FAMILIES.items() if family.measure is elements)
"""The families whose kernels may write over what they read."""
