"""The NCHWc domain: convolutions on blocks of channels, which onnxruntime writes when it optimises for this processor.

Dims stay N × C × space; C is padded to a multiple of the block, 8 or 16 as the processor has it, until ReorderOutput drops the
padding. Schemas: https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/graph/contrib_ops/nchwc_schema_defs.cc
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxcost.formulas.contrib.fused import fused_conv
from onnxcost.formulas.contrib.shapes import conv_rule, pool_rule, shaped_by
from onnxcost.formulas.pooling import TABLE as POOLING
from onnxcost.formulas.resampling import resize
from onnxcost.formulas.table import Formula, FormulaTable, TensorType, formula, no_arithmetic
from onnxcost.graph import Node
from onnxcost.work import Work

BLOCK = 8
"""The smallest block that onnxruntime has; a processor with blocks of 16 may pad what ReorderInput makes by 8 channels more."""


@formula(
    "Y = activation(X∗W + B + Z) on blocks of channels", macs="out·C_in/groups·k", flops="as FusedConv", shapes=conv_rule()
)
def blocked_conv(node: Node) -> Work:
    """As FusedConv, on the channels that the model had before they were padded, where the graph says how many they were.

    The frontend notes them as ``channels`` and ``input_channels``. Between two blocked convolutions nothing but the zeros in
    the weights says which channels are padding: there the padded ones count, which is what the processor computes.
    """
    out, weight = node.out, node.required(1)
    made, read = node.attributes.get("channels"), node.attributes.get("input_channels")
    if made:
        out = replace(out, dims=(out.shape[0], made, *out.shape[2:]))
    if read and node.attributes.get("group", 1) == 1:
        weight = replace(weight, dims=(weight.shape[0], read, *weight.shape[2:]))
    return fused_conv(replace(node, inputs=(node.x, weight, *node.inputs[2:]), outputs=(out,)))


def _blocked(node: Node) -> Sequence[TensorType | None]:
    """Channels second, padded."""
    batch, *inner = node.x.shape
    channels = inner.pop(-1 if node.attributes.get("channels_last") else 0)
    return [(node.x.dtype, (batch, -(-channels // BLOCK) * BLOCK, *inner))]


def _unblocked(node: Node) -> Sequence[TensorType | None]:
    """``channels`` of the padded ones, last where ``channels_last`` says so."""
    batch, _, *space = node.x.shape
    channels = node.attributes["channels"]
    dims = (batch, *space, channels) if node.attributes.get("channels_last") else (batch, channels, *space)
    return [(node.x.dtype, dims)]


def _upsampled(node: Node) -> Sequence[TensorType | None]:
    scales = node.attributes["scales"]
    return [(node.x.dtype, tuple(size * scale for size, scale in zip(node.x.shape, scales, strict=True)))]


POOLED: dict[str, Formula] = {
    f"com.microsoft.nchwc.{name}": shaped_by(row, pool_rule())
    for name, row in POOLING.items()
    if name in ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
}

TABLE: FormulaTable = {
    **POOLED,
    "com.microsoft.nchwc.Conv": blocked_conv,
    "com.microsoft.nchwc.Upsample": shaped_by(resize, _upsampled),
    "com.microsoft.nchwc.ReorderInput": no_arithmetic("Y = X in blocks of channels", shapes=_blocked),
    "com.microsoft.nchwc.ReorderOutput": no_arithmetic("Y = X out of its blocks of channels", shapes=_unblocked),
}
