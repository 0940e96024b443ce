"""Convolutions of any number of spatial dims. A window's products with padding count like the others."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.table import FormulaTable, formula
from onnxcost.graph import Node, Tensor
from onnxcost.work import Work


def window_products(node: Node, weight: Tensor) -> Work:
    """A dot product with a filter for each output; ``weight`` is of C_out × C_in/groups × kernel."""
    return dot_products(node.out.size, prod(weight.shape[1:]))


@formula("Y = X∗W + B", macs="out·C_in/groups·k", flops="out·(2·C_in/groups·k − 1), + out for B")
def conv(node: Node) -> Work:
    """k is the number of kernel elements: https://onnx.ai/onnx/operators/onnx__Conv.html."""
    return window_products(node, node.required(1)) + Work(bias_adds=node.out.size if node.input(2) else 0)


def reached(length: int, kernel: int, stride: int, dilation: int) -> int:
    """How many positions i·stride + j·dilation there are for i < length and j < kernel."""
    starts: dict[int, list[int]] = {}
    for step in range(kernel):
        starts.setdefault(step * dilation % stride, []).append(step * dilation // stride)
    return sum(length + sum(min(length, b - a) for a, b in pairwise(runs)) for runs in starts.values()) if length else 0


@formula("Y += X·W at each input position, + B", macs="in·C_out/groups·k", flops="2·macs − outputs reached, + out for B")
def conv_transpose(node: Node) -> Work:
    """Each input is multiplied with W (C_in × C_out/groups × kernel) and added to the outputs it reaches.

    The sums (accumulators) are those of the outputs before ``pads`` crop them.
    https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
    """
    weight, ones = node.required(1).shape, (1,) * (node.x.rank - 2)
    strides, dilations = (node.attributes.get(name) or ones for name in ("strides", "dilations"))
    macs = node.x.size * prod(weight[1:])
    sums = prod(map(reached, node.x.shape[2:], weight[2:], strides, dilations)) * node.out.shape[0] * node.out.shape[1]
    return Work(macs=macs, accumulators=sums if macs else 0, bias_adds=node.out.size if node.input(2) else 0)


TABLE: FormulaTable = {"Conv": conv, "ConvTranspose": conv_transpose}
