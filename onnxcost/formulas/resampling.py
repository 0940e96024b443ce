"""Resampling. An output is a weighted sum of its t neighbors. Page of X: https://onnx.ai/onnx/operators/onnx__X.html.

Where positions follow from the sizes alone (Resize), they and their weights are shared by all channels and not
counted; where they are data (GridSample, RoiAlign), they are counted, once for all channels.
"""

from __future__ import annotations

from dataclasses import replace
from math import gcd, prod

from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, MUL
from onnxcost.formulas.table import FormulaTable, always, formula
from onnxcost.graph import NO_WORK, Node, Work

REACH = {"linear": 1, "bilinear": 1, "cubic": 2, "bicubic": 2}
"""How many input positions on either side take part; ``nearest`` copies one."""

LINEAR = COMPARE + 2 * ADD
"""⌊x⌋, f = x − ⌊x⌋ and 1 − f: the weights along an axis."""

CUBIC = COMPARE + 14 * ADD + 12 * MUL
"""⌊x⌋, f, and Keys' four weights at 1 + f, f, 1 − f and 2 − f (3 additions): ((A+2)·t − (A+3))·t² + 1 with 3 multiplications
and 2 additions for the two that are near, ((A·t − 5A)·t + 8A)·t − 4A with 3 and 3 for the two that are far."""


def neighbors(reach: int, before: int, after: int, antialias: bool) -> int:
    """The positions that take part along one axis: one if the axis keeps its size, more if antialiasing shrinks it."""
    if before == after:
        return 1
    return 2 * -(-reach * before // after) if antialias and after < before else 2 * reach


def weighted_sum(count: int) -> Work:
    """A product with each of ``count`` neighbors, and their sum."""
    return Work(muls=count, adds=max(0, count - 1))


def corner_weights(mode: str, axes: int) -> Work:
    """The weights of a position's neighbors, each a product of one weight per axis, joined axis by axis."""
    reach = REACH.get(mode)
    if not reach:
        return axes * COMPARE
    return axes * (LINEAR if reach == 1 else CUBIC) + sum(int((2 * reach) ** joined) for joined in range(2, axes + 1)) * MUL


@formula("Y = Σ weight·X over the t neighbors", flops="0 (nearest); out·(2t − 1), t = 2 (linear), 4 (cubic) per resized axis")
def resize(node: Node) -> Work:
    """Interpolation along each axis that changes its size: https://onnx.ai/onnx/operators/onnx__Resize.html."""
    reach = REACH.get(node.attributes.get("mode", "nearest"))
    if not reach or not node.out.size:
        return NO_WORK
    antialias = bool(node.attributes.get("antialias"))
    axes = zip(node.x.shape, node.out.shape, strict=True)
    count = prod(neighbors(reach, before, after, antialias) for before, after in axes)
    return node.out.size * weighted_sum(count) if count > 1 else NO_WORK


OUTSIDE = {"zeros": 2 * COMPARE, "border": 2 * COMPARE, "reflection": 3 * COMPARE + 4 * ADD + MUL + DIV}
"""A coordinate compared with the border, and clipped or reflected: x − min, ⌊·/range⌋, the remainder, whether it is even,
min + remainder."""


@formula("Y = Σ weight·X over the t neighbors of a position",
         flops="out·(2t − 1) (nearest: 0) + positions·(4 a coordinate (3 if align_corners) + border + weights)",
         at_most=lambda node: node.attributes.get("padding_mode") == "reflection")  # fmt: skip
def grid_sample(node: Node) -> Work:
    """At d-dimensional positions between −1 and 1, t = 2^d (linear) or 4^d (cubic) neighbors. An upper bound with
    ``padding_mode`` reflection: every coordinate counts as if it lay outside.

    A coordinate g becomes ((g + 1)·size − 1) / 2, or (g + 1) / 2·(size − 1) with ``align_corners``; its weights follow from
    its fraction. https://onnx.ai/onnx/operators/onnx__GridSample.html
    """
    axes, coordinates = node.x.rank - 2, node.required(1).size
    mode = node.attributes.get("mode", "linear")
    scaled = Work(adds=1 if node.attributes.get("align_corners") else 2, muls=1, divs=1)
    placed = coordinates * (scaled + OUTSIDE[node.attributes.get("padding_mode", "zeros")])
    weights = coordinates // axes * corner_weights(mode, axes)
    reach = REACH.get(mode)
    return placed + weights + node.out.size * weighted_sum((2 * reach) ** axes if reach else 0)


@formula("Y = θ·(position, 1)", macs="out·(d + 1)", flops="out·(2d + 1)")
def affine_grid(node: Node) -> Work:
    """At the d-dimensional positions of a regular grid, which depend only on its size.

    https://onnx.ai/onnx/operators/onnx__AffineGrid.html
    """
    return dot_products(node.out.size, node.x.shape[-1])


def samples_of(node: Node) -> tuple[int, int]:
    """Samples along the axes of a RoiAlign's bin; a ``sampling_ratio`` of 0 is as many as a bin has positions, at most the
    whole map's.
    """
    ratio = int(node.attributes.get("sampling_ratio", 0))
    return (ratio, ratio) if ratio > 0 else (-(-node.x.shape[2] // node.out.shape[2]), -(-node.x.shape[3] // node.out.shape[3]))


@formula("Y = mean (max) of the samples in each bin of a region", flops="out·8·samples + regions·(positions and weights)",
         at_most=lambda node: not node.attributes.get("sampling_ratio"))  # fmt: skip
def roi_align(node: Node) -> Work:
    """Each sample by linear interpolation (4 products and 3 sums; in ``max`` mode 3 comparisons instead), and their mean, or
    max.

    A region: 4 edges scaled (and shifted by half a pixel, or at least 1 long), its size, its bins' size. A row or column of
    samples: start + bin·size + (i + ½)·size/samples, whether it is inside, ⌊x⌋, its two weights; 4 products of these per
    sample. Without a ``sampling_ratio``, an upper bound for regions as large as the map.
    https://onnx.ai/onnx/operators/onnx__RoiAlign.html
    """
    if not node.out.size:
        return NO_WORK
    regions, _, height, width = node.out.shape
    down, across = samples_of(node)
    half_pixel = node.attributes.get("coordinate_transformation_mode", "output_half_pixel") == "half_pixel"
    region = 4 * (MUL + (ADD if half_pixel else NO_WORK)) + 2 * (ADD + DIV) + (NO_WORK if half_pixel else 2 * COMPARE)
    lines = (height * down + width * across) * (2 * MUL + DIV + 2 * ADD + 4 * COMPARE + LINEAR)
    weights = height * down * width * across * 4 * MUL
    join, end = (COMPARE, NO_WORK) if node.attributes.get("mode", "avg") == "max" else (ADD, DIV)
    sample = 4 * MUL + 3 * join
    pooled = down * across * sample + (down * across - 1) * join + end
    return regions * (region + lines + weights) + node.out.size * pooled


@formula("Y = max of X in each bin of a region", flops="regions·C·((H + p − gcd(H, p))·(W + q − gcd(W, q)) − p·q) + positions",
         at_most=always)  # fmt: skip
def max_roi_pool(node: Node) -> Work:
    """An upper bound: p × q bins of regions as large as the H × W map, where bin i is from ⌊i·H/p⌋ to ⌈(i + 1)·H/p⌉.

    A region: 4 edges scaled and rounded, its size (at least 1), its bins' size; two ends per row and column of bins, each
    scaled, rounded, shifted and clipped. https://onnx.ai/onnx/operators/onnx__MaxRoiPool.html
    """
    if not node.out.size:
        return NO_WORK
    regions, channels, height, width = node.out.shape
    rows, columns = (size + bins - gcd(size, bins) for size, bins in zip(node.x.shape[2:], (height, width), strict=True))
    region = 4 * (MUL + COMPARE) + 2 * (2 * ADD + COMPARE + DIV)
    ends = 2 * (height + width) * (MUL + ADD + 3 * COMPARE)
    return regions * (region + ends + channels * (rows * columns - height * width) * COMPARE)


TABLE: FormulaTable = {
    "Resize": resize,
    # Before opset 7 the factors are two attributes.
    "Upsample": replace(
        resize,
        shapes=lambda node: [
            (
                node.x.dtype,
                (
                    *node.x.shape[:-2],
                    *(
                        int(size * float(node.attributes[f"{side}_scale"]))
                        for side, size in zip(("height", "width"), node.x.shape[-2:], strict=True)
                    ),
                ),
            )
        ],
    ),
    "GridSample": grid_sample,
    "AffineGrid": affine_grid,
    "RoiAlign": roi_align,
    "MaxRoiPool": max_roi_pool,
}
