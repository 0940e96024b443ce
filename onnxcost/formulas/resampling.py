"""Resampling. An output is a weighted sum of its neighbours; finding them and their weights is shared and not counted."""

from __future__ import annotations

from math import prod

from onnxcost.formulas.table import FormulaTable, formula
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work

REACH = {"linear": 1, "bilinear": 1, "cubic": 2, "bicubic": 2}
"""How many input positions on either side take part; ``nearest`` copies one."""


def neighbours(reach: int, before: int, after: int, antialias: bool) -> int:
    """The positions that take part along one axis: one where the axis keeps its size, more to shrink without aliases."""
    if before == after:
        return 1
    return 2 * -(-reach * before // after) if antialias and after < before else 2 * reach


@formula("Y = Σ weight·X over the t neighbours", flops="0 (nearest); out·(2t − 1), t = 2 (linear), 4 (cubic) per resized axis")
def resize(node: Node) -> Work:
    """Interpolation along each axis that changes its size: https://onnx.ai/onnx/operators/onnx__Resize.html."""
    reach = REACH.get(node.attributes.get("mode", "nearest"))
    if not reach or not node.out.size:
        return NO_WORK
    antialias = bool(node.attributes.get("antialias"))
    axes = zip(node.x.shape, node.out.shape, strict=True)
    count = prod(neighbours(reach, before, after, antialias) for before, after in axes)
    return node.out.size * Work(muls=count, adds=count - 1) if count > 1 else NO_WORK


@formula("Y = Σ weight·X over the t neighbours of a position", flops="out·(2t − 1) (nearest: 0) + 4·grid (3 if align_corners)")
def grid_sample(node: Node) -> Work:
    """As Resize, at d-dimensional positions given between −1 and 1: t = 2^d (linear) or 4^d (cubic).

    A coordinate g becomes ((g + 1)·size − 1) / 2, or (g + 1) / 2·(size − 1) with ``align_corners``.
    https://onnx.ai/onnx/operators/onnx__GridSample.html
    """
    shift = 1 if node.attributes.get("align_corners") else 2
    positions = node.required(1).size * Work(adds=shift, muls=1, divs=1)
    reach = REACH.get(node.attributes.get("mode", "linear"))
    count = (2 * reach) ** (node.x.rank - 2) if reach else 0
    return positions + node.out.size * Work(muls=count, adds=max(0, count - 1))


TABLE: FormulaTable = {"Resize": resize, "Upsample": resize, "GridSample": grid_sample}
