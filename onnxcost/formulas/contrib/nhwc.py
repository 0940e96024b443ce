"""com.ms.internal.nhwc: standard operators that onnxruntime converts to channels last for providers that prefer it.

The input and the output are N × space × C; weights keep their layout. Counts do not depend on the layout: each is that of the
operator of this name on channels first, with the activation that may be fused into it.

Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, wraps

from onnxcost.errors import UnknownShape
from onnxcost.formulas import convolution, movement, normalization, quantized, resampling
from onnxcost.formulas.contrib.fused import activation_work, conv_transpose_type
from onnxcost.formulas.contrib.quantized import TABLE as QUANTIZED
from onnxcost.formulas.reduction import POOLING
from onnxcost.formulas.shapes import conv_rule, elements, grid_sample_rule, pool_rule
from onnxcost.formulas.table import Formula, FormulaTable, ShapeRule, Types, formula, like_input
from onnxcost.graph import Node, Tensor, Work

DOMAIN = "com.ms.internal.nhwc"


def _channels_first(tensor: Tensor | None) -> Tensor | None:
    if tensor is None or tensor.dims is None or len(tensor.dims) < 3:
        return tensor
    batch, *space, channels = tensor.dims
    return replace(tensor, dims=(batch, channels, *space))


def _as_standard(node: Node) -> Node:
    """The node on channels first."""
    inputs = (_channels_first(node.input(0)), *node.inputs[1:])
    return replace(node, domain="", inputs=inputs, outputs=tuple(map(_channels_first, node.outputs)))


def _rule_types(rule: ShapeRule, node: Node) -> Types:
    """The rule's outputs, from channels second to last."""
    return [each and (each[0], (each[1][0], *each[1][2:], each[1][1])) for each in rule(_as_standard(node))]


def _block_types(node: Node, *, to_space: bool) -> Types:
    batch, channels, *space = node.x.shape
    size: int = node.attributes["blocksize"]
    if to_space:
        return [(node.x.dtype, (batch, channels // size**2, *(length * size for length in space)))]
    return [(node.x.dtype, (batch, channels * size**2, *(length // size for length in space)))]


def _resize_types(node: Node) -> Types:
    """By the sizes or the scales, which are in the order of the axes of X."""
    axes = [axis % node.x.rank for axis in node.attributes.get("axes") or range(node.x.rank)]
    dims, scales = list(node.x.shape), node.input(2)
    if node.input(3) is not None:
        sizes: Sequence[float] = elements(node, 3, "the sizes")
    elif scales is not None and scales.value:
        sizes = [dims[axis] * scale for axis, scale in zip(axes, scales.value, strict=True)]
    else:
        raise UnknownShape("the scales are not known")
    for axis, size in zip(axes, sizes, strict=True):
        dims[axis] = int(size)
    return [(node.x.dtype, tuple(dims))]


def _unpool_types(node: Node) -> Types:
    """MaxUnpool's input 2 (channels last), or by its windows."""
    if node.input(2) is not None:
        return [(node.x.dtype, elements(node, 2, "the sizes"))]
    batch, *space, channels = node.x.shape
    kernel = node.attributes["kernel_shape"]
    ones, pads = (1,) * len(space), node.attributes.get("pads") or (0,) * 2 * len(space)
    steps = zip(space, node.attributes.get("strides") or ones, kernel, pads, pads[len(space) :], strict=False)
    lengths = [(length - 1) * stride + size - before - after for length, stride, size, before, after in steps]
    return [(node.x.dtype, (batch, *lengths, channels))]


_RULES: dict[str, tuple[FormulaTable, ShapeRule]] = {
    "Conv": (convolution.TABLE, conv_rule()),
    "QLinearConv": (quantized.TABLE, conv_rule(3)),
    "ConvTranspose": (convolution.TABLE, lambda node: [conv_transpose_type(node, 1, node.attributes.get("pads"))]),
    "MaxPool": (POOLING, pool_rule(indices=True)),
    **dict.fromkeys(("AveragePool", "LpPool"), (POOLING, pool_rule())),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), (POOLING, pool_rule())),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization", "LRN"), (normalization.TABLE, like_input)),
    "GridSample": (resampling.TABLE, grid_sample_rule),
    "DepthToSpace": (movement.TABLE, partial(_block_types, to_space=True)),
    "SpaceToDepth": (movement.TABLE, partial(_block_types, to_space=False)),
}
"""Where the operator is counted, and its output on channels first."""


def _row(base: Callable[[Node], Work], shapes: ShapeRule) -> Formula:
    if not isinstance(base, Formula):
        raise TypeError(f"{base} is not a Formula")

    @wraps(base.count)
    def count(node: Node) -> Work:
        return base(_as_standard(node)) + activation_work(node)

    return replace(base, count=count, shapes=shapes)


@formula("Y = saturate(s·((X − x₀)·W + B) + y₀) at each input position", macs="in·C_out/groups·k",
         flops="ConvTranspose, + 5·out + 2·scales")  # fmt: skip
def qlinear_conv_transpose(node: Node) -> Work:
    """As QLinearConv, with the products of ConvTranspose."""
    plain = replace(node, inputs=(node.x, node.input(3), node.input(8)))
    return convolution.conv_transpose(plain) + quantized.requantize_work(node)


TABLE: FormulaTable = {
    **{f"{DOMAIN}.{name}": _row(table[name], partial(_rule_types, rule)) for name, (table, rule) in _RULES.items()},
    f"{DOMAIN}.Resize": replace(resampling.resize, shapes=_resize_types),
    f"{DOMAIN}.MaxUnpool": _row(POOLING["MaxUnpool"], _unpool_types),
    f"{DOMAIN}.QLinearAveragePool": _row(QUANTIZED["com.microsoft.QLinearAveragePool"], partial(_rule_types, pool_rule())),
    f"{DOMAIN}.QLinearConvTranspose": _row(
        qlinear_conv_transpose, partial(_rule_types, lambda node: [conv_transpose_type(node, 3, node.attributes.get("pads"))])
    ),
}
