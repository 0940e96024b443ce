"""onnxruntime's operators that move, make, look up, hash or compare data.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from onnxcost.formulas.contrib.shapes import element, elements
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, MUL
from onnxcost.formulas.signal import ceil_log2
from onnxcost.formulas.table import FormulaTable, TensorType, formula, like_input, no_arithmetic, per_output
from onnxcost.graph import BITS, Node
from onnxcost.work import NO_WORK, Work

Types = Sequence[TensorType | None]


def _padded(node: Node) -> Types:
    pads, rank = elements(node, 1, "the pads"), node.x.rank
    return [(node.x.dtype, tuple(max(0, size + pads[at] + pads[at + rank]) for at, size in enumerate(node.x.shape)))]


def _expanded(node: Node) -> Types:
    axis = element(node, 1, "the axis")
    axis += node.x.rank + 1 if axis < 0 else 0
    return [(node.x.dtype, (*node.x.shape[:axis], 1, *node.x.shape[axis:]))]


def _counted(node: Node) -> Types:
    bounds = [node.x, node.required(1), node.input(2)]
    first, limit, delta = (tensor.value[0] if tensor and tensor.value else None for tensor in bounds)
    delta = 1 if node.input(2) is None else delta
    if first is None or limit is None or delta is None:
        return []
    return [(node.x.dtype, (max(0, ceil((limit - first) / delta)),))]


def _picked(node: Node) -> Types:
    *positions, depth = node.required(1).shape
    return [(node.x.dtype, (*positions, *node.x.shape[depth:]))]


def _embedded(node: Node) -> Types:
    return [(node.x.dtype, (*node.required(1).shape, node.x.shape[1]))]


def _unfolded(node: Node) -> Types:
    axis, size = node.attributes.get("dim", -1) % node.x.rank, node.attributes["size"]
    windows = (node.x.shape[axis] - size) // node.attributes.get("step", 1) + 1
    return [(node.x.dtype, (*node.x.shape[:axis], windows, *node.x.shape[axis + 1 :], size))]


def _without_padding(node: Node) -> Types:
    """All positions at most; the offsets, the sums of lengths and the longest are of known dims."""
    batch, length, width = node.x.shape
    return [(node.x.dtype, (batch * length, width)), *[("int32", dims) for dims in ((batch, length), (batch + 1,), (1,))]]


def _with_padding(node: Node) -> Types:
    return [(node.x.dtype, (*node.required(1).shape, node.x.shape[1]))]


def _position_bias(node: Node) -> Types:
    lengths = [element(node, index, "the length") for index in (1, 2)]
    return [(node.x.dtype, (1, node.x.shape[1], *lengths))]


@formula("Y = whether every element is finite", flops="2·in (1·in where only one kind is looked for)",
         shapes=lambda node: [("bool", ())])  # fmt: skip
def is_all_finite(node: Node) -> Work:
    """Each element of each input is held against infinity and NaN."""
    one = node.attributes.get("isinf_only") or node.attributes.get("isnan_only")
    return Work(compares=(1 if one else 2) * sum(tensor.size for tensor in node.inputs if tensor))


@formula("Y = the distinct elements of X, where they are, how many", flops="in·⌈log₂ in⌉",
         bounds=lambda node: [(dtype, (node.x.size,)) for dtype in (node.x.dtype, "int64", "int64")])  # fmt: skip
def unique(node: Node) -> Work:
    """Each is looked up in an ordered map."""
    return node.x.size * ceil_log2(node.x.size) * COMPARE


BLOCK, END = 3 * MUL + ADD + 7 * COMPARE, 2 * MUL + 7 * COMPARE
"""MurmurHash3_x86_32 for each 4 bytes and at the end: shifts, xors and rotations (three bitwise operations) are comparisons."""


@formula("Y = MurmurHash3(X)", flops="out·(11·words + 9); 0 for strings",
         shapes=lambda node: [("uint32" if node.attributes.get("positive", 1) else "int32", node.x.shape)])  # fmt: skip
def murmur_hash(node: Node) -> Work:
    """Elements of 4 or 8 bytes are one word or two; strings are no arithmetic, as everywhere."""
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
    """The products and xors of a longer n-gram go on from the shorter one's; a remainder for each head."""
    longest: int = node.attributes["max_ngram_size"]
    offsets = node.input(4 if node.x.rank == 2 else 5)
    mixed = longest * MUL + (longest - 1) * COMPARE
    return node.x.size * mixed + node.out.size * (DIV + ADD if offsets else DIV)


@formula("Y = scores, −∞ where a token would repeat an n-gram", flops="B·(S − n + 1)·(n − 1)",
         shapes=lambda node: [(node.required(1).dtype, node.required(1).shape)])  # fmt: skip
def ngram_repeat_block(node: Node) -> Work:
    """Every n-gram's first n − 1 tokens are held against the last ones, in full."""
    size: int = node.attributes["ngram_size"]
    batch, length = node.x.shape
    return Work(compares=batch * max(0, length - size + 1) * (size - 1))


# fmt: off
TABLE: FormulaTable = {f"com.microsoft.{name}": row for name, row in {
    "Trilu":                no_arithmetic("Y = a triangle of X", shapes=like_input),
    "Pad":                  no_arithmetic("Y = X with a border", shapes=_padded),
    "ExpandDims":           no_arithmetic("Y = X with a dim of 1", shapes=_expanded),
    "Range":                per_output("Y_i = start + i·delta, by running sum", shapes=_counted, adds=1),
    "GatherND":             no_arithmetic("Y = X[indices]", shapes=_picked),
    "TorchEmbedding":       no_arithmetic("Y = X[indices]", shapes=_embedded),
    "UnfoldTensor":         no_arithmetic("Y = windows of X along an axis", shapes=_unfolded),
    "SampleOp":             no_arithmetic("Y = X", shapes=like_input),
    "RemovePadding":        no_arithmetic("Y = X without its padding", bounds=_without_padding),
    "RestorePadding":       no_arithmetic("Y = X with its padding", shapes=_with_padding),
    "RelativePositionBias": no_arithmetic("Y = X[bucket of the distance]", shapes=_position_bias),
    "Tokenizer":            no_arithmetic("Y = the tokens of X"),
    "IsAllFinite":          is_all_finite,
    "Unique":               unique,
    "MurmurHash3":          murmur_hash,
    "NGramHashMapping":     ngram_hash,
    "VarlenNGramHashMapping": ngram_hash,
    "NGramRepeatBlock":     ngram_repeat_block,
}.items()}
# fmt: on
