"""Transforms, complex products, matrices, distances, and sampling of images in onnxruntime's domain.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.shapes import broadcast, elements, pool_rule, shaped_by
from onnxcost.formulas.pooling import TABLE as POOLING
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, reduced
from onnxcost.formulas.resampling import corner_weights, grid_sample, weighted_sum
from onnxcost.formulas.signal import fourier
from onnxcost.formulas.table import Formula, FormulaTable, TensorType, formula, like_input
from onnxcost.graph import Dim, Node
from onnxcost.work import NO_WORK, Work


def _spectrum(node: Node) -> Sequence[TensorType | None]:
    return [(node.x.dtype, (*node.x.shape[:-1], node.x.shape[-1] // 2 + 1, 2))]


def _signal(node: Node) -> Sequence[TensorType | None]:
    return [(node.x.dtype, (*node.x.shape[:-2], 2 * (node.x.shape[-2] - 1)))]


def _transform(node: Node, signal: tuple[int, ...]) -> Work:
    """A real transform over the last ``signal_ndim`` of the signal's dims."""
    length = prod(signal[-node.attributes.get("signal_ndim", 1) :])
    return fourier(prod(signal) // length if length else 0, length, True)


@formula("Y = Fourier transform of real X", flops="2.5·lines·n·⌈log₂ n⌉", shapes=_spectrum)
def rfft(node: Node) -> Work:
    """n points over the last ``signal_ndim`` dims, of which n/2 + 1 are shown; counted as DFT is."""
    return _transform(node, node.x.shape)


@formula("Y = the real signal of a spectrum X", flops="2.5·lines·n·⌈log₂ n⌉", shapes=_signal)
def irfft(node: Node) -> Work:
    """The transform back is not divided by n."""
    return _transform(node, node.out.shape)


@formula("Y = A·B of complex numbers (with B conjugated)", flops="3·out",
         shapes=lambda node: [(node.x.dtype, broadcast(node.x.shape, node.required(1).shape))])  # fmt: skip
def complex_mul(node: Node) -> Work:
    """Four products, a sum and a difference a pair; the last dim holds real and imaginary part. A conjugate changes a sign."""
    return node.out.size // 2 * (4 * MUL + 2 * ADD)


@formula("Y = X⁻¹", flops="matrices·(2n³ − 2n² + n)", shapes=like_input)
def inverse(node: Node) -> Work:
    """Gauss-Jordan elimination of n × n in place.

    Each of n pivots divides its row (n divisions with the reciprocal), multiplies n elements of the n − 1 other rows and
    subtracts from n − 1 of them.
    """
    size = node.x.shape[-1]
    matrices = node.x.size // size**2 if size else 0
    return matrices * Work(divs=size**2, muls=size**2 * (size - 1), adds=size * (size - 1) ** 2)


@formula("Y = Σ(a − b)² = |a|² + |b|² − 2a·b (euclidean: its root)", macs="out·n", flops="2·macs + 2·(A + B) − rows + 3·out",
         shapes=lambda node: [(node.x.dtype, (node.x.shape[0], node.required(1).shape[0]))])  # fmt: skip
def cdist(node: Node) -> Work:
    """Rows of A (m × n) against rows of B (k × n) by a matrix product, as the runtime does; what rounds below 0 is cut off."""
    other, metric = node.required(1), node.attributes.get("metric", "sqeuclidean")
    rows = node.x.shape[0] + other.shape[0]
    norms = reduced(node.x.size + other.size, rows, ADD, each=MUL)
    ends = MUL + 2 * ADD + COMPARE + (FUNCTION if metric == "euclidean" else NO_WORK)
    return dot_products(node.out.size, node.x.shape[1]) + norms + node.out.size * ends


def _path(node: Node) -> Sequence[TensorType | None]:
    return [("int32", (2, sum(node.x.shape[-2:]) - 1))]


@formula("Y = the cheapest path through X", flops="3·in", bounds=_path)
def dynamic_time_warping(node: Node) -> Work:
    """Each cell adds the least of the three before it."""
    return node.x.size * (ADD + 2 * COMPARE)


def _crops(node: Node) -> Sequence[TensorType | None]:
    return [(node.x.dtype, (node.required(1).shape[0], node.x.shape[1], *elements(node, 3, "the size of the crops")))]


@formula("Y = crops of X, resampled", flops="7·out (nearest: 0) + 14·positions (6) + 12·crops", shapes=_crops)
def crop_and_resize(node: Node) -> Work:
    """A weighted sum of 4 neighbours. For each crop two steps and two starts of its grid; positions and their weights once for
    all channels, as in RoiAlign.
    """
    mode, crops, grid = node.attributes.get("mode", "bilinear"), node.required(1).shape[0], 4 * (MUL + ADD + DIV)
    weighted = weighted_sum(4) if mode == "bilinear" else NO_WORK
    positions = crops * prod(node.out.shape[2:])
    return node.out.size * weighted + positions * (corner_weights(mode, 2) + 2 * (MUL + ADD)) + crops * grid


def _sampled(node: Node) -> Sequence[TensorType | None]:
    space: Sequence[Dim] = node.required(1).shape[1:-1]
    return [(node.x.dtype, (*node.x.shape[:2], *space))]


def _masked_max(node: Node) -> Work:
    kernel: int = prod(node.attributes["kernel_shape"])
    return POOLING["MaxPool"](node) + kernel * node.out.size * COMPARE


TABLE: FormulaTable = {
    "com.microsoft.Rfft": rfft,
    "com.microsoft.Irfft": irfft,
    "com.microsoft.ComplexMul": complex_mul,
    "com.microsoft.ComplexMulConj": complex_mul,
    "com.microsoft.Inverse": inverse,
    "com.microsoft.CDist": cdist,
    "com.microsoft.DynamicTimeWarping": dynamic_time_warping,
    "com.microsoft.CropAndResize": crop_and_resize,
    "com.microsoft.GridSample": shaped_by(grid_sample, _sampled),
    "com.microsoft.MaxpoolWithMask": Formula(
        _masked_max, "Y = max of the window's positions that the mask leaves", "0", "(2k−1)·out", pool_rule()
    ),
    "com.microsoft.NhwcMaxPool": shaped_by(POOLING["MaxPool"], pool_rule(channels_last=True)),
}
