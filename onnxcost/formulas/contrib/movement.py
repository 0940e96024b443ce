"""onnxruntime's operators that move, make, look up, hash or compare data; its transforms, complex products and distances.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from math import prod

from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.movement import range_rule
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, POOLING, reduction_work
from onnxcost.formulas.resampling import corner_weights, grid_sample, weighted_sum
from onnxcost.formulas.shapes import broadcast, element, elements, grid_sample_rule, pad_dims, pool_rule, with_shapes
from onnxcost.formulas.signal import ceil_log2, fourier
from onnxcost.formulas.table import Formula, FormulaTable, Types, formula, like_input, no_arithmetic, per_output
from onnxcost.graph import BITS, NO_WORK, Node, Work


def _expand_types(node: Node) -> Types:
    axis = element(node, 1, "the axis") % (node.x.rank + 1)
    return [(node.x.dtype, (*node.x.shape[:axis], 1, *node.x.shape[axis:]))]


def _row_types(node: Node) -> Types:
    return [(node.x.dtype, (*node.required(1).shape, node.x.shape[1]))]


def _window_types(node: Node) -> Types:
    axis, size = node.attributes.get("dim", -1) % node.x.rank, node.attributes["size"]
    windows = (node.x.shape[axis] - size) // node.attributes.get("step", 1) + 1
    return [(node.x.dtype, (*node.x.shape[:axis], windows, *node.x.shape[axis + 1 :], size))]


@formula("Y = whether every element is finite", flops="2·in (1·in if only one kind is tested)",
         shapes=lambda node: [("bool", ())])  # fmt: skip
def is_all_finite(node: Node) -> Work:
    """Each element of each input is compared with infinity and NaN."""
    one = node.attributes.get("isinf_only") or node.attributes.get("isnan_only")
    return Work(compares=(1 if one else 2) * sum(tensor.size for tensor in node.inputs if tensor))


@formula("Y = the distinct elements of X, where they are, how many", flops="in·⌈log₂ in⌉",
         bounds=lambda node: [(dtype, (node.x.size,)) for dtype in (node.x.dtype, "int64", "int64")])  # fmt: skip
def contrib_unique(node: Node) -> Work:
    """Each is looked up in an ordered map."""
    return node.x.size * ceil_log2(node.x.size) * COMPARE


BLOCK, END = 3 * MUL + ADD + 7 * COMPARE, 2 * MUL + 7 * COMPARE
"""MurmurHash3_x86_32 for each 4 bytes and at the end: shifts, xors and rotations (three bitwise operations) are comparisons."""


@formula("Y = MurmurHash3(X)", flops="out·(11·words + 9); 0 for strings",
         shapes=lambda node: [("uint32" if node.attributes.get("positive", 1) else "int32", node.x.shape)])  # fmt: skip
def murmur_hash(node: Node) -> Work:
    """Elements of 4 or 8 bytes are one word or two; work on strings is not arithmetic."""
    if node.x.dtype == "string":
        return NO_WORK
    return node.x.size * (BITS[node.x.dtype] // 32 * BLOCK + END)


def _hash_types(node: Node) -> Types:
    """Hashes, present ids, present segment ids, captured states."""
    reach = node.attributes["max_ngram_size"] - 1
    ids = (node.x.dtype, (*node.x.shape, reach * node.attributes["n_head_per_ngram"]))
    if node.x.rank == 2:
        return [ids, (node.x.dtype, (node.x.shape[0], reach))]
    batch, capacity = node.required(3).shape[0] - 1, node.attributes.get("state_update_capacity") or 0
    past = (batch, reach)
    return [ids, (node.x.dtype, past), ("int32", past), (node.x.dtype, (batch, capacity, reach))]


@formula("Y = (x_t·m_0 ⊻ … ⊻ x_(t−n+1)·m_(n−1)) mod vocabulary, for n = 2 … max",
         flops="tokens·(2·max − 1) + out, + out for offsets", shapes=_hash_types)  # fmt: skip
def ngram_hash(node: Node) -> Work:
    """The products and xors of a longer n-gram continue those of the shorter one; a remainder for each head."""
    longest: int = node.attributes["max_ngram_size"]
    offsets = node.input(4 if node.x.rank == 2 else 5)
    mixed = longest * MUL + (longest - 1) * COMPARE
    return node.x.size * mixed + node.out.size * (DIV + ADD if offsets else DIV)


@formula("Y = scores, −∞ where a token would repeat an n-gram", flops="B·(S − n + 1)·(n − 1)",
         shapes=lambda node: [(node.required(1).dtype, node.required(1).shape)])  # fmt: skip
def ngram_repeat_block(node: Node) -> Work:
    """Every n-gram's first n − 1 tokens are compared with the last ones, all of them."""
    size: int = node.attributes["ngram_size"]
    batch, length = node.x.shape
    return Work(compares=batch * max(0, length - size + 1) * (size - 1))


# fmt: off
TABLE: FormulaTable = {f"com.microsoft.{name}": row for name, row in {
    "Trilu":                no_arithmetic("Y = a triangle of X", shapes=like_input),
    "Pad":                  no_arithmetic("Y = X with a border", shapes=lambda node: [
                                (node.x.dtype, pad_dims(node.x.shape, elements(node, 1, "the pads")))]),
    "ExpandDims":           no_arithmetic("Y = X with a dim of 1", shapes=_expand_types),
    "Range":                per_output("Y_i = start + i·delta, by running sum", shapes=range_rule, adds=1),
    "GatherND":             no_arithmetic("Y = X[indices]", shapes=lambda node: [
                                (node.x.dtype, (*node.required(1).shape[:-1], *node.x.shape[node.required(1).shape[-1] :]))]),
    "TorchEmbedding":       no_arithmetic("Y = X[indices]", shapes=_row_types),
    "UnfoldTensor":         no_arithmetic("Y = windows of X along an axis", shapes=_window_types),
    "SampleOp":             no_arithmetic("Y = X", shapes=like_input),
    "RemovePadding":        no_arithmetic("Y = X without its padding", bounds=lambda node: [
                                # At most all positions; offsets, the sums of lengths and the longest length have known dims.
                                (node.x.dtype, (prod(node.x.shape[:2]), node.x.shape[2])),
                                *[("int32", dims) for dims in (node.x.shape[:2], (node.x.shape[0] + 1,), (1,))]]),
    "RestorePadding":       no_arithmetic("Y = X with its padding", shapes=_row_types),
    "RelativePositionBias": no_arithmetic("Y = X[bucket of the distance]", shapes=lambda node: [
                                (node.x.dtype, (1, node.x.shape[1], *(element(node, at, "the length") for at in (1, 2))))]),
    "Tokenizer":            no_arithmetic("Y = the tokens of X"),
    "IsAllFinite":          is_all_finite,
    "Unique":               contrib_unique,
    "MurmurHash3":          murmur_hash,
    "NGramHashMapping":     ngram_hash,
    "VarlenNGramHashMapping": ngram_hash,
    "NGramRepeatBlock":     ngram_repeat_block,
}.items()}


def _transform(node: Node, signal: tuple[int, ...]) -> Work:
    """A real transform over the last ``signal_ndim`` of the signal's dims."""
    length = prod(signal[-node.attributes.get("signal_ndim", 1) :])
    return fourier(prod(signal) // length if length else 0, length, True)


@formula("Y = Fourier transform of real X", flops="2.5·lines·n·⌈log₂ n⌉",
         shapes=lambda node: [(node.x.dtype, (*node.x.shape[:-1], node.x.shape[-1] // 2 + 1, 2))])
def rfft(node: Node) -> Work:
    """n points over the last ``signal_ndim`` dims, of which n/2 + 1 are returned; counted like DFT."""
    return _transform(node, node.x.shape)


@formula("Y = the real signal of a spectrum X", flops="2.5·lines·n·⌈log₂ n⌉",
         shapes=lambda node: [(node.x.dtype, (*node.x.shape[:-2], 2 * (node.x.shape[-2] - 1)))])
def irfft(node: Node) -> Work:
    """The inverse transform is not divided by n."""
    return _transform(node, node.out.shape)


@formula("Y = A·B of complex numbers (with B conjugated)", flops="3·out",
         shapes=lambda node: [(node.x.dtype, broadcast(node.x.shape, node.required(1).shape))])  # fmt: skip
def complex_mul(node: Node) -> Work:
    """Four products, a sum and a difference per pair; the last dim holds real and imaginary part. Conjugation is free."""
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
    """Rows of A (m × n) against rows of B (k × n) by a matrix product, as in the runtime; negative rounding errors become 0."""
    other, metric = node.required(1), node.attributes.get("metric", "sqeuclidean")
    rows = node.x.shape[0] + other.shape[0]
    norms = reduction_work(node.x.size + other.size, rows, ADD, each=MUL)
    ends = MUL + 2 * ADD + COMPARE + (FUNCTION if metric == "euclidean" else NO_WORK)
    return dot_products(node.out.size, node.x.shape[1]) + norms + node.out.size * ends


@formula("Y = the cheapest path through X", flops="3·in", bounds=lambda node: [("int32", (2, sum(node.x.shape[-2:]) - 1))])
def dynamic_time_warping(node: Node) -> Work:
    """Each cell adds the least of the three before it."""
    return node.x.size * (ADD + 2 * COMPARE)


@formula("Y = crops of X, resampled", flops="7·out (nearest: 0) + 14·positions (6) + 12·crops", shapes=lambda node: [
    (node.x.dtype, (node.required(1).shape[0], node.x.shape[1], *elements(node, 3, "the size of the crops")))
])
def crop_and_resize(node: Node) -> Work:
    """A weighted sum of 4 neighbors. For each crop two steps and two starts of its grid; positions and their weights once for
    all channels, as in RoiAlign.
    """
    mode, crops, grid = node.attributes.get("mode", "bilinear"), node.required(1).shape[0], 4 * (MUL + ADD + DIV)
    weighted = weighted_sum(4) if mode == "bilinear" else NO_WORK
    positions = crops * prod(node.out.shape[2:])
    return node.out.size * weighted + positions * (corner_weights(mode, 2) + 2 * (MUL + ADD)) + crops * grid


SIGNAL: FormulaTable = {
    "com.microsoft.Rfft": rfft,
    "com.microsoft.Irfft": irfft,
    "com.microsoft.ComplexMul": complex_mul,
    "com.microsoft.ComplexMulConj": complex_mul,
    "com.microsoft.Inverse": inverse,
    "com.microsoft.CDist": cdist,
    "com.microsoft.DynamicTimeWarping": dynamic_time_warping,
    "com.microsoft.CropAndResize": crop_and_resize,
    "com.microsoft.GridSample": with_shapes(grid_sample, grid_sample_rule),
    "com.microsoft.MaxpoolWithMask": Formula(
        lambda node: POOLING["MaxPool"](node) + prod(node.attributes["kernel_shape"]) * node.out.size * COMPARE,
        "Y = max of the unmasked positions of the window",
        "0",
        "(2k−1)·out",
        pool_rule(),
    ),
    "com.microsoft.NhwcMaxPool": with_shapes(POOLING["MaxPool"], pool_rule(channels_last=True)),
}
