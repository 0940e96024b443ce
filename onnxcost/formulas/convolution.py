"""Convolutions of any number of spatial dims. Products with padding are counted like the others.

Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from math import gcd, prod

from onnxcost.formulas.activation import SIGMOID
from onnxcost.formulas.contraction import bias_work, dot_products
from onnxcost.formulas.reduction import ADD, MUL
from onnxcost.formulas.resampling import corner_weights, weighted_sum
from onnxcost.formulas.shapes import elements, window_steps
from onnxcost.formulas.table import FormulaTable, formula
from onnxcost.graph import NO_WORK, Node, Tensor, Work


def window_products(node: Node, weight: Tensor) -> Work:
    """A dot product with a filter for each output; ``weight`` is of C_out × C_in/groups × kernel."""
    return dot_products(node.out.size, prod(weight.shape[1:]))


@formula("Y = X∗W + B", macs="out·C_in/groups·k", flops="out·(2·C_in/groups·k − 1), + out for B")
def conv(node: Node) -> Work:
    """k is the number of kernel elements: https://onnx.ai/onnx/operators/onnx__Conv.html."""
    return window_products(node, node.required(1)) + bias_work(node, 2)


def count_positions(length: int, kernel: int, stride: int, dilation: int) -> int:
    """How many positions i·stride + j·dilation there are for i < length and j < kernel.

    Steps j that lie stride / gcd apart fall into one class of positions, each dilation / gcd places after the one before.
    """
    common = gcd(stride, dilation)
    classes = min(kernel, stride // common)
    return length * classes + (kernel - classes) * min(length, dilation // common)


@formula("Y += X·W at each input position, + B", macs="in·C_out/groups·k", flops="2·macs − outputs reached, + out for B")
def conv_transpose(node: Node) -> Work:
    """Each input is multiplied with W (C_in × C_out/groups × kernel) and added to the outputs it reaches.

    The sums (accumulators) are those of the outputs before ``pads`` crop them.
    https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
    """
    weight, (strides, dilations) = node.required(1).shape, window_steps(node, node.x.rank - 2)
    macs = node.x.size * prod(weight[1:])
    sums = prod(map(count_positions, node.x.shape[2:], weight[2:], strides, dilations)) * node.out.shape[0] * node.out.shape[1]
    return Work(macs=macs, accumulators=sums if macs else 0) + bias_work(node, 2)


@formula("Y = silu(X∗W + B) or X∗W + B, per channel, after the past", macs="out·k",
         flops="out·(2k − 1), + out for B, + 5·out for silu", shapes=lambda node: [
             (node.x.dtype, node.x.shape), (node.x.dtype, (*node.x.shape[:2], node.required(1).shape[2] - 1))
         ])  # fmt: skip
def causal_conv(node: Node) -> Work:
    """The k − 1 positions before the first are the past state, or zeros: https://onnx.ai/onnx/operators/onnx__CausalConvWithState.html."""
    is_plain = node.attributes.get("activation", "none") == "none"
    return conv(node) + (NO_WORK if is_plain else node.out.size * (SIGMOID + MUL))


@formula("Y = sums of the blocks in X where they overlap", flops="in − positions reached")
def col2im(node: Node) -> Work:
    """The sums are those of the image before ``pads`` crop it: https://onnx.ai/onnx/operators/onnx__Col2Im.html."""
    image, block = node.out.shape[2:], elements(node, 2, "the dims of a block")
    strides, dilations = window_steps(node, len(image))
    pads = node.attributes.get("pads") or 2 * (0,) * len(image)
    padded = map(sum, zip(image, pads[: len(image)], pads[len(image) :], strict=True))
    axes = list(zip(padded, block, strides, dilations, strict=True))
    counts = ((size - dilation * (kernel - 1) - 1) // stride + 1 for size, kernel, stride, dilation in axes)
    image_size = prod(count_positions(count, *axis[1:]) for count, axis in zip(counts, axes, strict=True))
    return (node.x.size - image_size * node.out.shape[0] * node.out.shape[1]) * ADD if node.x.size else NO_WORK


@formula("Y = samples of X at offset positions ∗ W + B", macs="out·C_in/groups·k",
         flops="out·(2·C_in/groups·k − 1), + out for B, + samples·(2t − 1), t = 2^d, + their positions")  # fmt: skip
def deform_conv(node: Node) -> Work:
    """Each of the C_in·k samples of an output position is computed once for all output channels: by linear interpolation in d
    dims, with weights that the channels of an offset group share, times a mask (input 4) if there is one.

    https://onnx.ai/onnx/operators/onnx__DeformConv.html
    """
    weight, axes = node.required(1), node.x.rank - 2
    kernel, groups = prod(weight.shape[2:]), int(node.attributes.get("offset_group", 1))
    places = kernel * node.out.shape[0] * prod(node.out.shape[2:])
    masked = MUL if node.input(4) else NO_WORK
    samples = places * node.x.shape[1] * (weighted_sum(1 << axes) + masked)
    positions = places * groups * (axes * ADD + corner_weights("linear", axes))
    return window_products(node, weight) + bias_work(node, 3) + samples + positions


TABLE: FormulaTable = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "CausalConvWithState": causal_conv,
    "DeformConv": deform_conv,
    "Col2Im": col2im,
}
