"""Sums of products over shared indices. Operators: https://onnx.ai/onnx/operators/onnx__MatMul.html and the like."""

from __future__ import annotations

from math import prod

from onnxcost.formulas.table import FormulaTable, formula
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work


def dot_products(count: int, length: int) -> Work:
    """``count`` independent sums of ``length`` products each; sums of nothing are no work."""
    return Work(macs=count * length, accumulators=count if length else 0)


@formula("Y = α·A·B + β·C", macs="out·K", flops="out·(2K−1), + out for C, + out if α≠1, + C if β≠1")
def gemm(node: Node) -> Work:
    """Y = α·A'·B' + β·C, A' of M×K: https://onnx.ai/onnx/operators/onnx__Gemm.html."""
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    bias = node.input(2) if beta else None
    scaled = node.out.size * (alpha != 1) + (bias.size * (beta != 1) if bias else 0)
    inner = node.x.shape[0 if node.attributes.get("transA") else 1]
    return dot_products(node.out.size, inner) + Work(bias_adds=node.out.size if bias else 0, muls=scaled)


@formula("Y = A·B", macs="out·K", flops="out·(2K−1)")
def matmul(node: Node) -> Work:
    """Y = A·B over the last axis of A, K long, as numpy.matmul: https://onnx.ai/onnx/operators/onnx__MatMul.html."""
    return dot_products(node.out.size, node.x.shape[-1])


def einsum_terms(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The labels of each operand and of the output, one a dim; an ellipsis becomes digits, aligned on the right.

    Without an arrow the output has the ellipsis, then the labels that occur once, in alphabetical order.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    names = "9876543210"  # labels of the ellipsis' dims, last dim first; an equation has letters only
    terms = []
    for term, rank in zip(left.split(","), ranks, strict=True):
        hidden = rank - len(term.replace("...", ""))
        terms.append(term.replace("...", names[:hidden][::-1]))
    ellipsis = max(("".join(filter(str.isdigit, term)) for term in terms), key=len)
    letters = [label for label in "".join(terms) if label.isalpha()]
    implicit = ellipsis + "".join(sorted(label for label in letters if letters.count(label) == 1))
    return terms, right.replace("...", ellipsis) if arrow else implicit


@formula("Y = Σ A·B·… over the labels absent from Y", macs="Π of all labels' sizes", flops="2·macs − out")
def einsum(node: Node) -> Work:
    """Operands contracted from left to right, each label summed once no later operand has it.

    A pair is a contraction if a label is summed, else a product; a single operand is only summed.
    https://onnx.ai/onnx/operators/onnx__Einsum.html
    """
    operands = [tensor for tensor in node.inputs if tensor is not None]
    terms, output = einsum_terms(node.attributes["equation"], [tensor.rank for tensor in operands])
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, operands, strict=True):
        for label, dim in zip(term, tensor.shape, strict=True):
            sizes[label] = max(dim, sizes.get(label, 1)) if dim else 0
    work, held = NO_WORK, set(terms[0])
    for index in range(1, len(terms)):
        joined = held | set(terms[index])
        held = joined & set(output).union(*terms[index + 1 :])
        every, kept = (prod(sizes[label] for label in labels) for labels in (joined, held))
        work += Work(macs=every, accumulators=kept if every else 0) if joined - held else Work(muls=every)
    if len(terms) == 1:
        work = Work(adds=max(0, prod(sizes[label] for label in held) - node.out.size))
    return work


TABLE: FormulaTable = {"Gemm": gemm, "MatMul": matmul, "Einsum": einsum}
