"""Sums of products over shared indices, and determinants. Page of X: https://onnx.ai/onnx/operators/onnx__X.html."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod

from onnxcost.formulas.table import FormulaTable, formula
from onnxcost.graph import Node, Tensor, Work


def dot_products(count: int, length: int) -> Work:
    """``count`` independent sums of ``length`` products each; empty sums are no work."""
    return Work(macs=count * length, accumulators=count if length else 0)


def bias_work(node: Node, place: int) -> Work:
    """A bias added to each element of the output, if the input at ``place`` is present."""
    return Work(bias_adds=node.out.size if node.input(place) else 0)


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
    """The labels of each operand and of the output, one per dim; an ellipsis becomes digits, aligned on the right.

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


def _sizes(terms: list[str], operands: list[Tensor]) -> dict[str, int]:
    """The size of each label; a dim of 1 is broadcast to the others of its label."""
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, operands, strict=True):
        for label, dim in zip(term, tensor.shape, strict=True):
            sizes[label] = dim if sizes.get(label, 1) == 1 else sizes[label]
    return sizes


def _count(labels: Iterable[str], sizes: Mapping[str, int]) -> int:
    """How many tuples of indices the labels have, each label counted once."""
    return prod(sizes[label] for label in set(labels))


@formula("Y = Σ A·B·… over the labels absent from Y", macs="Π of all labels' sizes", flops="2·macs − out")
def einsum(node: Node) -> Work:
    """Operands are contracted from left to right; a label is summed as soon as no later operand has it.

    A label that only one operand has is summed first; a pair without a summed label is a product, not a contraction.
    https://onnx.ai/onnx/operators/onnx__Einsum.html
    """
    operands = [tensor for tensor in node.inputs if tensor is not None]
    terms, output = einsum_terms(node.attributes["equation"], [tensor.rank for tensor in operands])
    sizes = _sizes(terms, operands)
    users = Counter(label for labels in (*terms, output) for label in set(labels))
    shared = [{label for label in term if users[label] > 1} for term in terms]
    work = Work(adds=sum(max(0, _count(term, sizes) - _count(kept, sizes)) for term, kept in zip(terms, shared, strict=True)))
    held = shared[0]
    for index, labels in enumerate(shared[1:], start=1):
        joined = held | labels
        held = joined & set(output).union(*shared[index + 1 :])
        every = _count(joined, sizes)
        work += Work(macs=every, accumulators=min(every, _count(held, sizes))) if joined - held else Work(muls=every)
    return work


@formula("Y = det X, of n×n matrices, by LU", flops="matrices·(2n³ + n − 3)/3")
def determinant(node: Node) -> Work:
    """Gaussian elimination with pivots: in step k, n − k entries are compared with the pivot and divided by it, and a product
    is subtracted from (n − k)² others; then the product of the diagonal. https://onnx.ai/onnx/operators/onnx__Det.html
    """
    size = node.x.shape[-1]
    below = size * (size - 1) // 2
    inner = below * (2 * size - 1) // 3
    factors = Work(compares=below, divs=below, muls=inner + max(0, size - 1), adds=inner)
    return node.out.size * factors


TABLE: FormulaTable = {"Gemm": gemm, "MatMul": matmul, "Einsum": einsum, "Det": determinant}
