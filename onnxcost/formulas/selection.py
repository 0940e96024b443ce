"""Selecting and ordering. The comparisons of a known method, an upper bound for any elements.

The k largest of n, in order, take n − k + Σ ⌈log₂ j⌉ comparisons, n + 1 − k < j ≤ n, by tournament (Kislitsyn; Knuth, The Art
of Computer Programming, vol. 3, 5.3.3): n − 1 for the largest alone, Σ ⌈log₂ j⌉ for a whole sort by binary insertion.
"""

from __future__ import annotations

from math import prod

from onnxcost.formulas.reduction import ADD, COMPARE, DIV, MUL
from onnxcost.formulas.signal import ceil_log2
from onnxcost.formulas.table import FormulaTable, Types, always, formula, no_arithmetic, per_input
from onnxcost.graph import NO_WORK, Node, Work


def sorting_work(count: int) -> int:
    """Σ ⌈log₂ j⌉ for 1 ≤ j ≤ count."""
    log = ceil_log2(count)
    return count * log - (1 << log) + 1 if count else 0


def selection_work(count: int, chosen: int) -> int:
    """The comparisons that find the ``chosen`` largest of ``count`` elements, in order."""
    return count - chosen + sorting_work(count) - sorting_work(count + 1 - chosen) if chosen else 0


def _axis(node: Node) -> int:
    return int(node.attributes.get("axis", -1)) % node.x.rank


@formula("Y = the K largest (smallest) X along the axis, and where", flops="lines·(n − K + Σ⌈log₂ j⌉, n + 1 − K < j ≤ n)",
         bounds=lambda node: [(node.x.dtype, node.x.shape), ("int64", node.x.shape)])  # fmt: skip
def topk(node: Node) -> Work:
    """n is the length of the axis: https://onnx.ai/onnx/operators/onnx__TopK.html."""
    length = node.x.shape[_axis(node)]
    lines = node.x.size // length if length else 0
    return lines * selection_work(length, min(length, node.out.shape[_axis(node)])) * COMPARE


def _slices(node: Node) -> int:
    """What Unique compares: elements, or slices along the axis."""
    axis = node.attributes.get("axis")
    return node.x.size if axis is None else node.x.shape[axis]


@formula("Y = the distinct X, in order, or slices along the axis", flops="(Σ⌈log₂ j⌉, j ≤ n, + n − 1) · elements of a slice",
         shapes=lambda node: (None, None, ("int64", (_slices(node),)), None), bounds=lambda node: [
             (node.x.dtype, (node.x.size,) if node.attributes.get("axis") is None else node.x.shape),
             *[("int64", (_slices(node),))] * 3,
         ])  # fmt: skip
def unique(node: Node) -> Work:
    """n elements or slices are sorted and neighbors compared, slices element by element.

    https://onnx.ai/onnx/operators/onnx__Unique.html
    """
    count = _slices(node)
    return node.x.size // count * (sorting_work(count) + count - 1) * COMPARE if count else NO_WORK


def _most_boxes(node: Node) -> int:
    """How many boxes of a class are kept at most: input 2, by default none."""
    boxes, limit = node.x.shape[1], node.input(2)
    if limit is None:
        return 0
    return min(boxes, max(0, int(limit.value[0]))) if limit.value else boxes


OVERLAP = 8 * ADD + 3 * MUL + DIV + 11 * COMPARE
"""For two boxes with ordered corners: the corners of the intersection (4 comparisons) and whether there is one (2 + 1), three
areas (2 subtractions and a product each), the union (2 additions), whether all are positive (3), the quotient, the limit."""

CORNERS = {0: 2 * 2 * COMPARE, 1: 2 * (2 * DIV + 4 * ADD)}
"""The corners of two boxes in order, or (``center_point_box``) from their centers, widths and heights."""


@formula("Y = the boxes of each class that overlap no better one by more than the threshold",
         flops="batch·classes·(N for a score threshold + Σ⌈log₂ j⌉, j ≤ N, + pairs·27)",
         bounds=lambda node: [("int64", (prod(node.required(1).shape[:2]) * _most_boxes(node), 3))],
         at_most=always)  # fmt: skip
def non_max_suppression(node: Node) -> Work:
    """An upper bound: N boxes are sorted by their scores, and the i-th is compared with each of the boxes kept before it, at
    most min(i, m − 1) where m boxes are kept at most. 35 instead of 27 operations per pair with ``center_point_box``.

    https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html
    """
    batch, classes, boxes = node.required(1).shape
    kept = _most_boxes(node)
    before = max(0, kept - 1)
    pairs = before * (before - 1) // 2 + before * (boxes - before)
    ordered = (sorting_work(boxes) + (boxes if node.input(4) is not None else 0)) * COMPARE
    overlaps = pairs * (OVERLAP + CORNERS[node.attributes.get("center_point_box", 0)])
    return batch * classes * (ordered + overlaps) if kept else NO_WORK


def _compress_bounds(node: Node) -> Types:
    """At most what the condition covers, of X flat if there is no axis."""
    axis, condition = node.attributes.get("axis"), node.required(1).size
    if axis is None:
        return ((node.x.dtype, (min(condition, node.x.size),)),)
    dims = list(node.x.shape)
    dims[axis] = min(condition, dims[axis])
    return ((node.x.dtype, tuple(dims)),)


TABLE: FormulaTable = {
    "TopK": topk,
    "Unique": unique,
    "NonMaxSuppression": non_max_suppression,
    "NonZero": per_input(
        "Y = the indices where X ≠ 0", bounds=lambda node: (("int64", (node.x.rank, node.x.size)),), compares=1
    ),
    "Compress": no_arithmetic("Y = X where a condition holds", bounds=_compress_bounds),
}
