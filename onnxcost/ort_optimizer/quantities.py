"""The quantities that the time of a node's kernel depends on: its MACs, elements, bytes, rows, contiguous pieces.

``block`` is the number of floats in a vector of the machine, and of channels in a block of the blocked layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, log, log2, prod

from onnxcost.formulas import select_formulas
from onnxcost.formulas.ml import classes_of, rows_of
from onnxcost.formulas.resampling import REACH, samples_of
from onnxcost.formulas.shapes import window_steps
from onnxcost.formulas.signal import ceil_log2, transforms
from onnxcost.formulas.trees import count_steps, count_votes
from onnxcost.graph import BITS, Node, Tensor, Work
from onnxcost.ort_optimizer.fused_node import axes_of

Quantities = tuple[float, ...]


def fill_blocks(count: int, block: int) -> int:
    """The count, rounded up to whole blocks."""
    return -(-count // block) * block


def weight_of(node: Node) -> int:
    """The input with the weights."""
    return 3 if node.op_type in ("QLinearMatMul", "QLinearConv", "QGemm", "QLinearGemm") else 1


def gemm(node: Node, block: int) -> Quantities:
    """MACs, and the elements of the input, the weights and the output; columns are filled up to whole vectors.

    Products with a single row or column have special kernels without padding.
    """
    inner = node.x.shape[0 if node.attributes.get("transA") and node.x.rank == 2 else -1]
    columns = node.out.shape[-1] if node.out.rank else 1
    filled = fill_blocks(columns, block) / columns if columns > 1 and node.x.size > inner else 1.0
    weight = node.required(weight_of(node))
    return (node.out.size * filled * inner, float(node.x.size), float(weight.size), node.out.size * filled)


def batched_gemm(node: Node, block: int) -> Quantities:
    """As ``gemm``, and the products: one for each matrix of the output, or a single one if the second operand is a matrix."""
    return (*gemm(node, block), float(prod(node.out.shape[:-2]) if node.required(1).rank > 2 else 1))


def low_bit_gemm(node: Node) -> Quantities:
    """As ``gemm``, and the partial sums: one for each output and each block of weights that share a scale."""
    inner, columns = node.x.shape[-1], node.out.shape[-1]
    rows = node.out.size // columns
    sizes = (node.out.size * inner, node.x.size, inner * columns, node.out.size, rows * max(node.required(2).size, columns))
    return tuple(map(float, sizes))


def _work(node: Node) -> Work:
    return select_formulas([node.key])[node.key](node)


def attention(node: Node) -> Quantities:
    """MACs, the elements of keys and values that all heads read, the scores, and the elements of the cache that are copied.

    A cache of ``past_present_share_buffer`` is not copied. Rows of the first input are queries.
    """
    work = _work(node)
    rows = node.x.shape[1 if node.x.rank in (3, 5) else -2]
    copied = 0 if node.attributes.get(SHARES_BUFFER) else sum(t.size for t in node.outputs[1:] if t is not None and t.is_shaped)
    return (float(work.macs), work.macs / max(rows, 1), float(work.transcendentals), float(copied))


SHARES_BUFFER = "past_present_share_buffer"
"""The attribute of an attention whose outputs are written over the caches that it reads, as onnxruntime calls it."""


def conv(node: Node, block: int) -> Quantities:
    """MACs, the elements of all windows that are copied to the columns of a matrix, and the rows in which they are copied, or,
    with strides, the elements alone; those of the weights and the output, and the products: one for each image and group, with
    a column for each position of the output.
    """
    weight, positions = node.required(weight_of(node)), prod(node.out.shape[2:])
    products = node.x.shape[0] * int(node.attributes.get("group", 1))
    filled = fill_blocks(positions, block) / positions if positions > 1 else 1.0
    copied = node.x.shape[0] * node.x.shape[1] * positions * prod(weight.shape[2:])
    macs = node.out.size * filled * prod(weight.shape[1:])
    strides, _ = window_steps(node, len(weight.shape) - 2)
    rows = copied / max(node.out.shape[-1], 1)
    copies = (0.0, 0.0, float(copied)) if max(strides, default=1) > 1 else (float(copied), rows, 0.0)
    return (macs, *copies, float(weight.size * node.x.shape[0]), float(node.out.size), float(products))


def plain_depthwise(node: Node, block: int) -> Quantities:
    """As ``conv``, without the weights, of which each product has few."""
    macs, *copies, _, outputs, products = conv(node, block)
    return (macs, *copies, outputs, products)


def integer_conv(node: Node, block: int) -> Quantities:
    """As ``gemm``: a product for each group, with a row for each position and a column for each channel of the output."""
    weight, groups = node.required(weight_of(node)), int(node.attributes.get("group", 1))
    channels = max(weight.shape[0] // groups, 1)
    macs = node.out.size * fill_blocks(channels, block) / channels * prod(weight.shape[1:])
    return (macs, float(node.x.size), float(weight.size), float(node.out.size))


def transposed_conv(node: Node) -> Quantities:
    """As ``gemm``: each input element is multiplied with all weights of its channel, and the products are added up."""
    weight = node.required(1)
    places = node.x.size // max(node.x.shape[1], 1)
    made = places * prod(weight.shape[1:]) * int(node.attributes.get("group", 1))
    return (float(node.x.size * prod(weight.shape[1:])), float(node.x.size), float(weight.size), float(made))


EDGE = 1.6
"""The time of a MAC at the left or right edge of the output relative to others: those are computed one by one, the others many
at a time. Measured on convolutions of 3 × 3 that are dilated by up to the size of the image.
"""


BLOCKS_AT_ONCE = 4
"""The most blocks of the output that a convolution's kernel computes together (MLAS, SConvKernel: FilterCount)."""


def blocked_conv(node: Node, block: int) -> Quantities:
    """As ``gemm``, with channels filled up to whole blocks, and the MACs by the blocks of the output that share a read of the
    input; windows are cut at the edges, so that padding costs nothing.
    """
    weight = node.required(1).shape
    outputs = fill_blocks(weight[0], block)
    inner = weight[1] if weight[1] < block else fill_blocks(weight[1], block)
    work = float(node.out.size // weight[0] * outputs * inner)
    read = outputs * inner
    axes = list(_valid_taps(node))
    for axis, (taps, kernel, used) in enumerate(axes):
        costs = [count if axis < len(axes) - 1 or count == kernel else EDGE * count for count in taps]
        work *= sum(costs) / max(len(taps), 1)
        read *= used
    shared = min(outputs // block // int(node.attributes.get("group", 1)), BLOCKS_AT_ONCE)
    return (work, float(node.x.size), float(read), float(node.out.size // weight[0] * outputs), work / max(shared, 1))


def _valid_taps(node: Node) -> Iterator[tuple[list[int], int, int]]:
    """For each axis: how many taps of each output's window are inside the image, the kernel's length, and how many of its taps
    are inside for any output.
    """
    kernel = node.required(1).shape[2:]
    strides, dilations = window_steps(node, len(kernel))
    pads = node.attributes.get("pads") or ()
    for axis, (size, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        length, count = node.x.shape[2 + axis], node.out.shape[2 + axis]
        missing = max((count - 1) * stride + (size - 1) * dilation + 1 - length, 0)
        begin = pads[axis] if len(pads) == 2 * len(kernel) else (missing + 1) // 2
        starts = range(-begin, count * stride - begin, stride)
        inside = [[0 <= start + tap * dilation < length for tap in range(size)] for start in starts]
        yield [sum(taps) for taps in inside], size, sum(map(any, zip(*inside, strict=True)))


LEARNED_STEPS = 1 << 15
"""The steps through trees that a CPU's branch predictor learns if they are the same in each run. Measured with random rows."""


def tree_steps(node: Node) -> Quantities:
    """The steps of all rows through trees that the CPU predicts, the others times the logarithm of the nodes (the more, the
    fewer are in a cache), and the votes for several targets or classes.
    """
    rows, _ = rows_of(node)
    steps = rows * count_steps(node)
    far = max(steps - LEARNED_STEPS, 0.0)
    nodes = len(node.attributes.get("nodes_truenodeids") or ())
    targets = max(int(node.attributes.get("n_targets", 0)), len(set(node.attributes.get("class_ids", ()))))
    return (steps - far, far * log2(max(nodes, 1)), float(rows * count_votes(node) if targets > 1 else 0))


def support_vectors(node: Node) -> Quantities:
    """The MACs of the rows with all support vectors, the MACs of the sums over pairs of classes, and the results, squares of
    the classes if there are probabilities; without support vectors, the MACs are those with the coefficients.
    """
    work, (rows, features) = _work(node), rows_of(node)
    attributes, classes = node.attributes, classes_of(node)
    vectors = int(attributes.get("n_supports") or sum(attributes.get("vectors_per_class") or ()))
    results = rows * (classes**2 if attributes.get("prob_a") else 1)
    if not vectors:
        return (float(work.macs), 0.0, float(results))
    # A regressor has one sum, which takes half the time of those of pairs.
    return (float(rows * vectors * features), rows * vectors * (classes - 1 if classes else 0.5), float(results))


def linear_scores(node: Node) -> Quantities:
    """The MACs of a linear model, and the scores; those that a function is taken of count twice."""
    macs, (_, features) = _work(node).macs, rows_of(node)
    return (float(macs), macs / max(features, 1) * (1 + (node.attributes.get("post_transform", "NONE") != "NONE")))


def window_elements(node: Node) -> Quantities:
    """Elements of all windows, and elements and rows of the output."""
    kernel = prod(node.attributes.get("kernel_shape") or node.x.shape[2:])
    return (float(node.out.size * kernel), float(node.out.size), node.out.size / max(node.out.shape[-1], 1))


def depthwise(node: Node) -> Quantities:
    """MACs, inputs and outputs; a node that only scales channels counts as a convolution of one element."""
    kernel = node.required(weight_of(node)).shape[1:] if "Conv" in node.op_type else ()
    return (float(node.out.size * prod(kernel)), float(node.x.size), float(node.out.size))


def inputs(node: Node) -> Quantities:
    """Elements of the first input."""
    return (float(node.x.size),)


def elements(node: Node) -> Quantities:
    """Elements of the largest tensor that is not a constant."""
    tensors = (node.out, *(tensor for tensor in node.inputs if tensor is not None and not tensor.is_constant))
    return (float(max(map(_size, tensors))),)


def spans(node: Node) -> Quantities:
    """Elements of the output, and the spans in which it is computed: within each, an operand either advances or stays.

    Like in onnxruntime's Broadcaster, which skips last dims that are 1 in both operands.
    """
    second = node.input(3 if node.op_type.startswith("QLinear") else 1)
    left, right = node.x.shape, second.shape if second is not None else ()
    shared, rank = min(len(left), len(right)), max(len(left), len(right))
    ones = (1,) * rank
    pairs = list(zip((ones + left)[: -rank - 1 : -1], (ones + right)[: -rank - 1 : -1], strict=True))
    first = next((axis for axis, pair in enumerate(pairs[:shared]) if pair != (1, 1)), max(shared - 1, 0))
    span = 1
    for pair in pairs[first:]:
        if [dim > 1 for dim in pair] != [dim > 1 for dim in pairs[first]]:
            break
        span *= max(pair)
    return (float(node.out.size), node.out.size / max(span, 1))


def movement(node: Node) -> Quantities:
    """Bytes that are written."""
    outputs = [tensor for tensor in node.outputs if tensor is not None]
    return (float(sum(_size(t) * BITS.get(t.dtype, 32) / 8 for t in outputs)),)


def pieces(node: Node) -> Quantities:
    """Bytes that are written, and the contiguous pieces in which they are copied."""
    return (*movement(node), float(_pieces(node)))


def joined_pieces(node: Node) -> Quantities:
    """As ``pieces``, and the tensors that are joined, or that one is split into."""
    return (*pieces(node), float(max(len(node.inputs), len(node.outputs))))


def _pieces(node: Node) -> int:
    out = node.out.shape
    if not out or not node.out.size:
        return 1
    if node.op_type == "Transpose":
        order = node.attributes.get("perm") or range(len(out))[::-1]
        kept = 1
        for axis in range(len(out) - 1, -1, -1):
            if list(order)[axis] != axis:
                break
            kept *= out[axis]
        return node.out.size // kept
    if node.op_type in ("Concat", "QLinearConcat", "Split"):
        axis = int(node.attributes.get("axis", 0))
        shape = node.x.shape if node.op_type == "Split" else out
        return prod(shape[: axis % len(shape)]) * max(len(node.inputs), len(node.outputs))
    if node.op_type == "Gather":
        axis = int(node.attributes.get("axis", 0)) % node.x.rank
        return node.out.size // max(prod(node.x.shape[axis + 1 :]), 1)
    if node.op_type == "Slice" and _steps_along_rows(node):
        return node.out.size
    if node.op_type in ("Slice", "Expand"):
        # The last dims that are kept whole and the one before them; those that are kept, or else repeated.
        given = ((1,) * (len(out) - node.x.rank) + node.x.shape)[::-1]
        same = [before == after for before, after in zip(given, out[::-1], strict=True)]
        alike = next((place for place, each in enumerate(same) if each != (node.op_type == "Slice" or same[0])), len(out))
        return node.out.size // max(prod(out[::-1][: alike + (node.op_type == "Slice")]), 1)
    if node.op_type == "Pad" and (padded := [axis for axis, size in enumerate(node.x.shape) if size != out[axis]]):
        return prod(out[: padded[-1]])
    return node.out.size if node.op_type == "DepthToSpace" else node.out.size // out[-1]


def _steps_along_rows(node: Node) -> bool:
    """Whether a Slice leaves out elements of its last dim one by one."""
    steps = node.input(4)
    if steps is None or not steps.value or abs(int(steps.value[-1])) == 1:
        return False
    axes = node.input(3)
    last = (axes.value if axes is not None else None) or (node.x.rank - 1,)
    return int(last[-1]) % node.x.rank == node.x.rank - 1


def indices(node: Node) -> Quantities:
    """Elements of the second input, the indices."""
    return (float(node.required(1).size),)


def slices(node: Node) -> Quantities:
    """Bytes that are written, and the slices that the indices, the second input, point to."""
    places = node.required(1)
    return (*movement(node), places.size / max(places.shape[-1], 1))


def rows(node: Node) -> Quantities:
    """Elements, and rows: all dims before the axis."""
    axis = int(node.attributes.get("axis", -1))
    axis = axis % node.x.rank if node.x.rank else 0
    return (float(node.x.size), float(prod(node.x.shape[:axis])))


def channels(node: Node) -> Quantities:
    """Elements, and the channels of all images."""
    return (float(node.x.size), float(prod(node.x.shape[:2])))


def reduced(node: Node) -> Quantities:
    """Elements of the input and of the output."""
    return (float(node.x.size), float(node.out.size))


SETS, WAYS, LINE = 64, 8, 64
"""A core's first cache: sets of lines, lines in a set, and bytes in a line, as most CPUs have them."""


def reduced_across(node: Node) -> Quantities:
    """As ``reduced``, and the elements for which the lines of a column, one in each row, do not fit into the cache's sets that
    their addresses fall into, as where rows are a power of two apart; by the share of the sets that they do not use.
    """
    inner = prod(node.x.shape[max(axes_of(node), default=-1) + 1 :])
    step = inner * BITS[node.x.dtype] // 8
    used = SETS // gcd(step // LINE, SETS) if step % LINE == 0 else SETS
    count = node.x.size // max(node.out.size, 1)
    return (*reduced(node), float(node.x.size) / used if used < SETS and count > used * WAYS else 0.0)


def selected(node: Node) -> Quantities:
    """Elements, how often one is among the k largest of a row so far, in the mean k·(1 + ln(n/k)) times, and the comparisons
    that put the selected ones in order.
    """
    axis = int(node.attributes.get("axis", -1))
    length, count = node.x.shape[axis], max(node.out.shape[axis], 1)
    found = node.out.size * (1 + log(max(length / count, 1)))
    return (float(node.x.size), found, node.out.size * log2(count + 1))


def runs(node: Node) -> Quantities:
    """Elements, and the contiguous runs of them that are summed at a time: the dims behind the axis, or single elements."""
    axis = node.required(1).value or (-1,)
    return (float(node.x.size), node.x.size / max(prod(node.x.shape[int(axis[0]) % node.x.rank + 1 :]), 1))


def sampled(node: Node) -> Quantities:
    """Elements of the output, positions in an image, and the elements of the image that they are computed from."""
    axes = node.x.rank - 2
    reach = REACH.get(node.attributes.get("mode", "linear"))
    neighbors = (2 * reach) ** axes if reach else 1
    return (float(node.out.size), node.required(1).size / max(axes, 1), float(node.out.size * neighbors))


def region_samples(node: Node) -> Quantities:
    """Elements of the output, and the samples that they are the means of."""
    return (float(node.out.size), float(node.out.size * prod(samples_of(node))))


def resized(node: Node) -> Quantities:
    """Bytes that are written, and elements of the input that are read anew: at most one for each of the output's."""
    return (*movement(node), float(min(node.x.size, node.out.size)))


def interpolated(node: Node) -> Quantities:
    """Elements of the output, and those of the input that are read anew: at most one for each of the output's."""
    return (float(node.out.size), float(min(node.x.size, node.out.size)))


def recurrent(node: Node) -> Quantities:
    """MACs of the inputs, MACs of the states, steps, and elements of the weights."""
    steps, batch, _ = node.x.shape
    inputs, states = node.required(1), node.required(2)
    macs = (steps * batch * inputs.size, steps * batch * states.size)
    return tuple(map(float, (*macs, steps * inputs.shape[0], inputs.size + states.size)))


def butterflies(node: Node) -> Quantities:
    """Butterflies of complex Fourier transforms. A length that is not a power of two takes three transforms of the next power
    above twice the length (dft.cc, Bluestein's algorithm).
    """
    count, length = transforms(node)
    order = ceil_log2(length)
    if length == 1 << order:
        return (float(count * length / 2 * order),)
    order = ceil_log2(2 * length - 1)
    return (float(3 * count * order << order - 1),)


def _size(tensor: Tensor) -> int:
    return tensor.size if tensor.is_shaped else 0
