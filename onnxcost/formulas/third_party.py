"""Operators in ONNX files that are in no current list of operators: quantizers of qonnx and Brevitas, plugins of TensorRT and
mmdeploy, experiments of the first opsets.

Where a plugin's work depends on data, the count is an upper bound. Operators that are missing here can be given with
``--shape OUTPUT=...`` and with your own formulas.

qonnx: https://github.com/fastmachinelearning/qonnx/tree/main/docs/qonnx-custom-ops. TensorRT's plugins:
https://github.com/NVIDIA/TensorRT/tree/main/plugin. mmdeploy: https://github.com/open-mmlab/mmdeploy/tree/main/docs/en/06-custom-ops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from onnxcost.errors import UnknownShape
from onnxcost.formulas.convolution import deform_conv
from onnxcost.formulas.quantized import SATURATE
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL
from onnxcost.formulas.resampling import grid_sample, roi_align
from onnxcost.formulas.shapes import conv_rule, grid_sample_rule
from onnxcost.formulas.table import (
    Formula,
    FormulaTable,
    ShapeRule,
    Types,
    always,
    formula,
    like_input,
    no_arithmetic,
    times_output,
)
from onnxcost.graph import Node, Work

_QUANT = times_output("Y = (clamp(round(X/s + z)) − z)·s", "7·out", DIV + ADD + SATURATE + ADD + MUL, like_input)
QUANTIZERS: Mapping[str, Formula] = {
    "Quant": _QUANT,
    "IntQuant": _QUANT,
    "FloatQuant": times_output("Y = round(X/s) to a float of fewer bits, ·s", "5·out", DIV + SATURATE + MUL, like_input),
    **dict.fromkeys(
        ("BipolarQuant", "BinaryQuant"), times_output("Y = s or −s by the sign of X", "2·out", COMPARE + MUL, like_input)
    ),
    "Trunc": times_output("Y = (trunc((X/s + z)/2^n) − z)·s", "8·out", 2 * DIV + ADD + SATURATE + ADD + MUL, like_input),
}
_QUANTIZER_DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")


def _count_kept(node: Node) -> int:
    for name in ("max_output_boxes", "keepTopK", "keep_topk", "max_output_boxes_per_class"):
        if (count := node.attributes.get(name)) is not None:
            return int(count)
    raise UnknownShape("how many boxes it keeps is not among its attributes")


def _detections(node: Node) -> Types:
    """How many were found, their boxes, scores and classes, padded to as many as are kept."""
    batch, kept, dtype = node.x.shape[0], _count_kept(node), node.x.dtype
    return [("int32", (batch, 1)), (dtype, (batch, kept, 4)), (dtype, (batch, kept)), ("int32", (batch, kept))]


def _suppression(shapes: ShapeRule) -> Formula:
    @formula(
        "Y = the boxes that overlap no better one", flops="boxes·classes + 7·kept·boxes a class", shapes=shapes, at_most=always
    )
    def suppress(node: Node) -> Work:
        """Every score against a threshold, and each box that is kept against all others: an upper bound."""
        scores = node.required(1)
        classes, boxes = scores.shape[-1], scores.size // max(1, scores.shape[-1])
        pairs = _count_kept(node) * boxes
        return Work(compares=boxes * classes + 3 * pairs, adds=2 * pairs, divs=pairs, muls=pairs)

    return suppress


_EFFICIENT = _suppression(_detections)
_BATCHED = _suppression(lambda node: [*_detections(node)[:3], (node.x.dtype, (node.x.shape[0], _count_kept(node)))])
"""The classes in the type of the boxes."""
PLUGINS: Mapping[str, Formula] = {
    **dict.fromkeys(("EfficientNMS_TRT", "EfficientNMS_ONNX_TRT", "YOLO_NMS_TRT"), _EFFICIENT),
    "BatchedNMS_TRT": _BATCHED,
    "BatchedNMSDynamic_TRT": _BATCHED,
    # Boxes with their scores, and labels, as mmdeploy has them.
    "TRTBatchedNMS": _suppression(
        lambda node: [(node.x.dtype, (node.x.shape[0], _count_kept(node), 5)), ("int64", (node.x.shape[0], _count_kept(node)))]
    ),
}


def _as_deform_conv(node: Node) -> Node:
    """X, offsets, mask, W, B: DeformConv with its inputs in another order, and with PyTorch's names of its attributes."""
    x, offsets, mask, weight, bias = (*node.inputs, None, None, None)[:5]
    own = node.attributes
    names = {"strides": "stride", "dilations": "dilation", "group": "groups", "offset_group": "deform_groups"}
    named = {name: own[other] for name, other in names.items() if other in own}
    if "deformable_groups" in own:
        named["offset_group"] = own["deformable_groups"]
    if "padding" in own:
        named["pads"] = 2 * tuple(own["padding"])
    return replace(node, inputs=(x, weight, offsets, bias, mask), attributes={**own, **named})


@formula("Y = Σ W·X at offset positions, masked", macs="out·C_in/groups·k", flops="as DeformConv",
         shapes=lambda node: conv_rule()(_as_deform_conv(node)))  # fmt: skip
def modulated_deform_conv(node: Node) -> Work:
    """DeformConv: https://onnx.ai/onnx/operators/onnx__DeformConv.html."""
    return deform_conv(_as_deform_conv(node))


def _region_types(node: Node) -> Types:
    height, width = (int(node.attributes.get(name) or 1) for name in ("output_height", "output_width"))
    return [(node.x.dtype, (node.required(1).shape[0], node.x.shape[1], height, width))]


MM: Mapping[str, Formula] = {
    "MMCVModulatedDeformConv2d": modulated_deform_conv,
    "MMCVRoiAlign": replace(roi_align, shapes=_region_types),
    "grid_sampler": replace(grid_sample, shapes=grid_sample_rule),
}


def _cropped(node: Node) -> Types:
    """Without a border to the left, at the top, to the right and at the bottom, or with a height and a width instead."""
    left, top, right, bottom = node.attributes["border"]
    *outer, height, width = node.x.shape
    inner = node.attributes.get("scale") or (height - top - bottom, width - left - right)
    return [(node.x.dtype, (*outer, *inner))]


EXPERIMENTS: Mapping[str, Formula] = {
    "Affine": times_output("Y = α·X + β", "2·out", MUL + ADD, like_input),
    "ImageScaler": times_output("Y = scale·X + bias", "2·out", MUL + ADD, like_input),
    "ScaledTanh": times_output("Y = α·tanh(β·X)", "3·out", 2 * MUL + FUNCTION, like_input),
    "ParametricSoftplus": times_output("Y = α·log(1 + exp(β·X))", "5·out", 2 * MUL + ADD + 2 * FUNCTION, like_input),
    "Crop": no_arithmetic("Y = X without a border", shapes=_cropped),
}
"""Which the standard has dropped: https://github.com/onnx/onnx/blob/v1.4.1/docs/Operators.md. onnxruntime still has them."""
TABLE: FormulaTable = {
    **EXPERIMENTS,
    **{f"{domain}.{name}": row for domain in _QUANTIZER_DOMAINS for name, row in QUANTIZERS.items()},
    **{f"{domain}{name}": row for domain in ("", "TRT.", "mmdeploy.") for name, row in PLUGINS.items()},
    **{f"{domain}.{name}": row for domain in ("mmdeploy", "mmcv") for name, row in MM.items()},
    "ai.onnx.contrib.StringLower": no_arithmetic("Y = X in lower case", shapes=like_input),
    "ai.onnx.contrib.StringUpper": no_arithmetic("Y = X in upper case", shapes=like_input),
}
