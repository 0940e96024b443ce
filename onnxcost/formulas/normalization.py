"""Normalizations, in inference. ``g`` is the number of groups that share their statistics, ``C`` that of channels.

Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, reduction_work, slices
from onnxcost.formulas.table import FormulaTable, formula, like_input
from onnxcost.graph import Node, Work


def _mean(elements: int, groups: int) -> Work:
    return reduction_work(elements, groups, ADD, end=DIV)


def _deviations(elements: int, groups: int) -> Work:
    """Mean, differences from it, variance, and √(variance + ε)."""
    return 2 * _mean(elements, groups) + elements * (ADD + MUL) + groups * (ADD + FUNCTION)


def _trailing_axes(node: Node) -> tuple[int, ...]:
    """The axes from ``axis`` to the last."""
    return tuple(range(node.attributes.get("axis", -1) % node.x.rank, node.x.rank))


@formula("Y = (X − μ) / √(σ² + ε) · scale + B", flops="4·in + 2·C")
def batch(node: Node) -> Work:
    """With the statistics given, or (``training_mode``) those of the batch, which then also update the running ones.

    https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
    """
    elements, channels = node.x.size, node.required(1).size
    work = elements * (2 * ADD + MUL + DIV) + channels * (ADD + FUNCTION)
    # Since opset 14 an attribute says so, before that the outputs that only training gives (and, to opset 6, ``is_test``).
    has_statistics = any(tensor is not None for tensor in node.outputs[1:])
    if node.attributes.get("training_mode", has_statistics and not node.attributes.get("is_test")):
        moved = 2 * channels * (2 * MUL + ADD)
        work += 2 * _mean(elements, channels) + elements * MUL + moved
    return work


@formula("Y = (X − μ) / √(σ² + ε) · scale + B over the axes from axis on", flops="6·in + 3·g, + in for B", shapes=like_input)
def layer(node: Node) -> Work:
    """g = rows normalized: https://onnx.ai/onnx/operators/onnx__LayerNormalization.html."""
    elements, groups = node.x.size, slices(node.x, _trailing_axes(node))
    bias = elements if node.input(2) else 0
    return _deviations(elements, groups) + groups * DIV + elements * 2 * MUL + bias * ADD


@formula("Y = X / √(mean(X²) + ε) · scale over the axes from axis on", flops="4·in + 3·g")
def rms(node: Node) -> Work:
    """g = rows normalized: https://onnx.ai/onnx/operators/onnx__RMSNormalization.html."""
    elements, groups = node.x.size, slices(node.x, _trailing_axes(node))
    return _mean(elements, groups) + elements * 3 * MUL + groups * (ADD + FUNCTION + DIV)


@formula("Y = (X − μ) / √(σ² + ε) · scale + B over the space of a channel", flops="7·in + 2·g")
def instance(node: Node) -> Work:
    """g = batch·channels: https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html."""
    elements, groups = node.x.size, slices(node.x, tuple(range(2, node.x.rank)))
    return _deviations(elements, groups) + elements * (DIV + MUL + ADD)


@formula("Y = (X − μ) / √(σ² + ε) · scale + B over a group of channels and the space", flops="7·in + 2·g")
def group(node: Node) -> Work:
    """g = batch·num_groups: https://onnx.ai/onnx/operators/onnx__GroupNormalization.html."""
    elements, groups = node.x.size, node.x.shape[0] * node.attributes["num_groups"] if node.x.size else 0
    return _deviations(elements, groups) + elements * (DIV + MUL + ADD)


def _within(channels: int, reach: int) -> int:
    """The pairs of channels that are at most ``reach`` apart: Σ (channels − distance)."""
    reach = min(reach, channels)
    return reach * channels - reach * (reach + 1) // 2


@formula("Y = X / (bias + α/size · Σ X² over neighboring channels)^β", flops="in·(5 + neighbors − 1)")
def local_response(node: Node) -> Work:
    """A window of ``size`` channels, cut at the first and the last: https://onnx.ai/onnx/operators/onnx__LRN.html."""
    size, channels = int(node.attributes["size"]), node.x.shape[1]
    joined = _within(channels, (size - 1) // 2) + _within(channels, size // 2)
    each = 2 * MUL + ADD + FUNCTION + DIV
    return node.x.size * each + slices(node.x, (1,)) * joined * ADD


@formula("Y = X / (Σ |X|^p)^(1/p) along the axis", flops="3·in − g (p = 1), 3·in (p = 2)")
def lp(node: Node) -> Work:
    """p is 1 or 2, g = vectors normalized: https://onnx.ai/onnx/operators/onnx__LpNormalization.html."""
    groups, taxicab = slices(node.x, (node.attributes.get("axis", -1) % node.x.rank,)), node.attributes.get("p", 2) == 1
    norm = (
        reduction_work(node.x.size, groups, ADD, each=COMPARE)
        if taxicab
        else reduction_work(node.x.size, groups, ADD, MUL, FUNCTION)
    )
    return norm + node.x.size * DIV


@formula("Y = (X − μ) / (√(mean(X²) − μ²) + ε) over axes", flops="5·in + 4·g")
def mean_variance(node: Node) -> Work:
    """g = slices along ``axes``: https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html."""
    axes = tuple(axis % node.x.rank for axis in node.attributes.get("axes") or (0, 2, 3))
    elements, groups = node.x.size, slices(node.x, axes)
    return 2 * _mean(elements, groups) + elements * (MUL + ADD + DIV) + groups * (MUL + 2 * ADD + FUNCTION)


TABLE: FormulaTable = {
    "BatchNormalization": batch,
    "LayerNormalization": layer,
    "RMSNormalization": rms,
    "InstanceNormalization": instance,
    "GroupNormalization": group,
    "LRN": local_response,
    "LpNormalization": lp,
    "MeanVarianceNormalization": mean_variance,
}
