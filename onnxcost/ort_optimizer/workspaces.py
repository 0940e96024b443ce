"""The bytes that onnxruntime's CPU kernels allocate in addition to their outputs while they run: a formula of shapes per
operator.

They follow the kernels' code in onnxruntime 1.32, core/providers/cpu and contrib_ops/cpu, whose file each docstring names;
"measured" are those that were only found from the arena. ``scripts/benchmark/workspaces.py`` measures them, and the tests
compare the formulas with its output. Left out are buffers of less than a few KiB, and what is on the stack or the heap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

from onnxcost.errors import MISFITS
from onnxcost.formulas.contraction import einsum_terms
from onnxcost.formulas.shapes import broadcast
from onnxcost.graph import BITS, Node, Tensor
from onnxcost.operators.traits import SOFTMAXES

THREADS = 2
"""The number of threads of kernels with a buffer per thread."""
Workspace = Callable[[Node], int]


WORKSPACES: dict[str, Workspace] = {}
"""The formulas by operator."""


def allocates(*operators: str) -> Callable[[Workspace], Workspace]:
    """Register a formula for these operators."""

    def enter(formula: Workspace) -> Workspace:
        WORKSPACES.update(dict.fromkeys(operators, formula))
        return formula

    return enter


def workspace_of(node: Node) -> int:
    """The bytes that the node's kernel allocates in addition to its outputs; 0 if unknown."""
    formula = WORKSPACES.get(node.key)
    try:
        return formula(node) if formula is not None else 0
    except MISFITS:
        return 0


def _width(tensor: Tensor) -> int:
    return BITS.get(tensor.dtype, 32) // 8


@allocates("Sum", "Max", "Min", "Mean")
def _variadic(node: Node) -> int:
    """element_wise_ops.cc: from three inputs on, the sum so far."""
    return node.out.nbytes if len(node.inputs) > 2 else 0


@allocates(*SOFTMAXES | {"QLinearSoftmax", "com.microsoft.QLinearSoftmax"})
def _softmax(node: Node) -> int:
    """softmax.cc, qlinear_softmax.cc: over another axis than the last, input and output with that axis last."""
    axes = node.attributes.get("axes") or (int(node.attributes.get("axis", -1)) % node.x.rank,)
    return 0 if node.x.rank - 1 in axes else 2 * node.x.nbytes


@allocates("Where")
def _where(node: Node) -> int:
    """where_op.cc: the selection from each side, broadcast with the condition."""
    width = _width(node.out)
    return width * sum(prod(broadcast(node.x.shape, node.required(side).shape)) for side in (1, 2))


@allocates("com.microsoft.BiasGelu", "com.microsoft.FastGelu", "BiasGelu", "FastGelu")
def _with_bias(node: Node) -> int:
    """bias_gelu.cc, fast_gelu: the sum of input and bias, a vector."""
    bias = node.input(1)
    return node.out.nbytes if bias is not None and bias.size > 1 else 0


@allocates("LRN")
def _lrn(node: Node) -> int:
    """lrn.cc: a scale for each element, and the squares of one image with padded channels."""
    channels = node.x.shape[1] + int(node.attributes.get("size", 1)) - 1
    return node.x.nbytes + _width(node.x) * channels * prod(node.x.shape[2:])


@allocates("MeanVarianceNormalization")
def _mean_variance(node: Node) -> int:
    """mean_variance_normalization.cc: input and output with the normalized axes last, if they are not."""
    axes = sorted(int(axis) % node.x.rank for axis in node.attributes.get("axes") or (0, 2, 3))
    return 0 if axes == list(range(node.x.rank))[-len(axes) :] else 2 * node.x.nbytes


@allocates("Resize")
def _resize(node: Node) -> int:
    """upsample_antialias.h: one image, resized only along its width."""
    if not node.attributes.get("antialias"):
        return 0
    return _width(node.x) * prod(node.x.shape[1:-1]) * node.out.shape[-1]


@allocates("Conv", "com.microsoft.FusedConv")
def _conv(node: Node) -> int:
    """MlasConvPrepare: the windows as columns, of the whole image if it is smaller than the number of filters, otherwise of 128
    · 128 elements for each thread, of which more than one run for several images or groups, or for much work; none for a
    convolution of single elements.
    """
    weight, image = node.required(1).shape, prod(node.out.shape[2:])
    filters, inner = weight[0] // int(node.attributes.get("group", 1)), prod(weight[1:])
    if _is_pointwise(node, weight):
        return 0
    if filters > image:
        return 4 * inner * image
    parts = node.x.shape[0] * int(node.attributes.get("group", 1))
    threads = min(THREADS, parts if parts > 1 else filters * image * inner // (64 * 1024) + 1)
    return 4 * 128 * 128 * threads


def _is_pointwise(node: Node, weight: Sequence[int]) -> bool:
    """Whether each output element needs only the input at its own position."""
    strides, pads = (node.attributes.get(name) or () for name in ("strides", "pads"))
    return prod(weight[2:]) == 1 and set(strides) <= {1} and not any(pads)


@allocates("ConvTranspose", "com.microsoft.ConvTransposeWithDynamicPads")
def _transposed_conv(node: Node) -> int:
    """conv_transpose.cc: one image's columns of one group."""
    return 4 * prod(node.required(1).shape[1:]) * prod(node.x.shape[2:])


@allocates("DeformConv")
def _deform_conv(node: Node) -> int:
    """deform_conv.cc: one image's columns, and four places and weights for each element of a window."""
    windows = prod(node.required(1).shape[2:]) * prod(node.out.shape[2:])
    return windows * (4 * node.x.shape[1] + 32 * int(node.attributes.get("offset_group", 1)))


@allocates("ConvInteger")
def _integer_conv(node: Node) -> int:
    """conv_integer.cc: one image's columns of one group."""
    weight = node.required(1).shape
    return 0 if _is_pointwise(node, weight) else prod(weight[1:]) * prod(node.out.shape[2:])


@allocates("QLinearConv", "com.microsoft.QLinearConv")
def _quantized_conv(node: Node) -> int:
    """qlinearconv.cc: one image's sums in 32 bits, and the columns of one group. The kernel for unsigned inputs and symmetric
    weights has no sums, and like that of a depthwise convolution pointers instead of columns (MlasConvSymPackWSize).
    """
    was_conv = node.required(1).rank > 2  # between DequantizeLinear and QuantizeLinear, which make its inputs unsigned
    weight, image, groups = node.required(1 if was_conv else 3), prod(node.out.shape[2:]), int(node.attributes.get("group", 1))
    filters, inner, kernel = weight.shape[0], weight.shape[1], prod(weight.shape[2:])
    is_depthwise = filters == groups > 1 and inner == 1
    fits = filters % 16 == 0 if is_depthwise else groups == 1 and filters >= 16 and inner % 4 == 0
    zero_point = None if was_conv else node.input(5)
    is_centered = zero_point is None or not any(zero_point.value or ())
    is_symmetric = fits and weight.dtype == "int8" and is_centered and (was_conv or node.x.dtype == "uint8")
    sums = 0 if is_symmetric else 4 * filters * image
    if is_depthwise or (is_symmetric and not _is_pointwise(node, weight.shape)):
        return sums + 8 * kernel * image
    return sums + (0 if _is_pointwise(node, weight.shape) else inner * kernel * image)


@allocates("QLinearMatMul", "QLinearGemm", "com.microsoft.QGemm")
def _sums(node: Node) -> int:
    """quantize_linear_matmul.cc, quant_gemm.cc: the sums in 32 bits."""
    return 4 * node.out.size


@allocates("QLinearAveragePool", "com.microsoft.QLinearAveragePool")
def _quantized_pool(node: Node) -> int:
    """qlinear_pool.cc: the input as floats."""
    return 4 * node.x.size


@allocates("com.microsoft.MatMulNBits")
def _matmul_bits(node: Node) -> int:
    """matmul_nbits.cc: the rows as integers with a scale and a sum for each block if it works on integers; for 8 bits, which
    have no kernel for floats, the weights as floats.
    """
    inner, columns = int(node.attributes["K"]), int(node.attributes["N"])
    if int(node.attributes.get("accuracy_level", 0)) == 4:
        blocks = -(-inner // int(node.attributes["block_size"]))
        return node.x.size // inner * (inner + 8 * blocks)
    return 4 * inner * columns if int(node.attributes.get("bits", 4)) == 8 else 0


@allocates("com.microsoft.MoE")
def _experts(node: Node) -> int:
    """moe_cpu.cc, besides what the threads share: for each thread with an expert the rows of 512 tokens, or of the power of two
    above those of each expert if all have as many: gathered, between the projections, and made.
    """
    shared, chosen, (hidden, wide, inner, count) = _of_experts(node, 4)
    rows = 512
    while rows * count <= chosen:
        rows *= 2
    return shared + min(THREADS, count, chosen) * rows * (4 * (wide + inner + 3 * hidden) + 12)


@allocates("com.microsoft.QMoE")
def _quantized_experts(node: Node) -> int:
    """moe_quantization_cpu.cc, besides what the threads share: for each thread the biases of an expert, the rows of its tokens
    and, if each row of weights has one scale, the weights as floats. A single thread fills the output itself.
    """
    shared, chosen, (hidden, wide, inner, count) = _of_experts(node, 5)
    rows = -(-chosen // count)
    each = wide + hidden + rows * (2 * hidden + wide + inner)
    if node.required(3).rank == 2:
        each += hidden * (wide + inner)
    return shared + 4 * (min(THREADS, count) * each - (node.x.size if count == 1 else 0))


def _of_experts(node: Node, second: int) -> tuple[int, int, tuple[int, int, int, int]]:
    """What the threads share, in bytes: the input again, where each token goes, and the output of each thread; the number of
    pairs of a token and an expert; the widths of the input, of the first projection and of the input of the ``second`` (its
    place among the node's inputs), and the number of experts.
    """
    hidden, (count, wide) = node.x.shape[-1], node.required(2).shape[:2]
    tokens = node.x.size // hidden
    chosen = tokens * min(int(node.attributes.get("k", 1)), count)
    bits = int(node.attributes.get("expert_weight_bits", 4)) if node.op_type == "QMoE" else 8
    inner = node.required(second).shape[2] * 8 // bits
    return tokens * 4 * hidden * (1 + min(THREADS, count)) + 8 * chosen, chosen, (hidden, wide, inner, count)


@allocates("RNN")
def _rnn(node: Node) -> int:
    """rnn.cc: the products with the inputs of one direction."""
    steps, batch, _ = node.x.shape
    return 4 * steps * batch * node.required(2).shape[-1]


@allocates("LSTM", "com.microsoft.DynamicQuantizeLSTM")
def _lstm(node: Node) -> int:
    """uni_directional_lstm.cc."""
    return _gated(node, gates=4, states=3, biases=4 if node.input(3) else 0, fixed=2, ends=2)


@allocates("GRU")
def _gru(node: Node) -> int:
    """deep_cpu_gru.cc: each sequence has a copy of the bias."""
    linear = bool(node.attributes.get("linear_before_reset"))
    return _gated(node, gates=3, states=2 + linear + ((3 + linear) if node.input(3) else 0), biases=0, fixed=0, ends=1)


def _gated(node: Node, *, gates: int, states: int, biases: int, fixed: int, ends: int) -> int:
    """For each direction the gates of all steps and vectors of the hidden size: ``states`` for each sequence, ``biases`` and
    ``fixed`` once, and ``ends`` for each last state that the model does not output. A backward direction has reversed inputs
    and outputs.
    """
    steps, batch, inputs = node.x.shape
    directions, *sizes = node.required(2).shape  # those of DynamicQuantizeLSTM are transposed
    hidden = min(sizes)
    own = steps * batch * gates * hidden + (batch * states + biases + fixed) * hidden
    backward = steps * batch * (inputs + hidden)
    is_reversed = node.attributes.get("direction", "forward") != "forward"
    asked = sum(tensor is not None for tensor in node.outputs[1:])
    missing = max(ends - asked, 0) * directions * batch * hidden
    return 4 * (directions * own + (backward if is_reversed else 0) + missing)


@allocates("Attention")
def _attention(node: Node) -> int:
    """llm/attention.cc: the scores, and the mask if it is boolean or causal; for 16 bits, the scores of a head in 32 for each
    thread during the softmax.
    """
    query, key, mask = node.x, node.required(1), node.input(3)
    heads = query.shape[1] if query.rank == 4 else int(node.attributes["q_num_heads"])
    past = node.input(4)
    keys = key.shape[-2] + (past.shape[-2] if past is not None else 0)
    rows = query.shape[-2]
    is_masked = node.attributes.get("is_causal") or (mask is not None and mask.dtype == "bool")
    masked = (mask.size if mask is not None else rows * keys) if is_masked else 0
    scores = query.shape[0] * heads * rows * keys
    in_floats = 4 * min(THREADS, query.shape[0] * heads) * rows * keys if _width(query) == 2 else 0
    return _width(query) * (scores + masked) + in_floats


L2_BYTES = 2**20
"""The cache that onnxruntime's flash attention fits its blocks into: that of most servers. With a smaller cache, they are
smaller.
"""


def _flash(rows: int, keys: int, head: int, value_head: int) -> int:
    """multihead_attention.cc: the scores and results of a block of rows, for each thread."""
    columns = max(L2_BYTES // (4 * 4 * (head + value_head)), 1)
    block = min(columns, head + value_head, rows)
    return 4 * THREADS * block * (2 + min(columns, keys) + value_head)


def _mask(node: Node, given: Tensor | None, rows: int, keys: int) -> int:
    """attention_helper.h, PrepareMask: the term added to the scores, per row if the rows differ."""
    if node.attributes.get("unidirectional") or (given is not None and given.rank > 2):
        return 4 * node.x.shape[0] * rows * keys
    return 4 * node.x.shape[0] * keys if given is not None else 0


@allocates("com.microsoft.MultiHeadAttention")
def _multi_head(node: Node) -> int:
    """multihead_attention.cc: queries, keys and values by head, and then the scores with the mask and the results by head, or
    with neither mask nor past the blocks of flash attention.
    """
    query, key, value = node.x, node.input(1), node.input(2)
    heads, (batch, rows) = int(node.attributes["num_heads"]), query.shape[:2]
    packed = query.rank == 5
    hidden = query.shape[2] if not packed else heads * query.shape[4]
    keys = rows if key is None else key.shape[2] if key.rank == 4 else key.shape[1]
    past = node.input(6)
    keys += past.shape[2] if past is not None and past.rank == 4 else 0
    value_hidden = value.shape[-1] if value is not None and value.rank == 3 else hidden
    own, new = batch * rows * hidden, 0
    if key is None or key.rank != 4:
        new = batch * (rows if key is None else key.shape[1])
    moved = own + new * (hidden + value_hidden)
    is_flash = past is None and node.input(4) is None and node.input(5) is None
    is_flash = (
        is_flash
        and (key is None or key.rank != 4)
        and not node.attributes.get("unidirectional")
        and len([t for t in node.outputs if t is not None]) == 1
    )
    # With a bias, there are the sums of queries, keys or values with it while these are ordered by head.
    summed = max(2 * own, own + 2 * new * hidden, moved + new * value_hidden) if node.input(3) is not None else 0
    if is_flash:
        return max(4 * moved + _flash(rows, keys, hidden // heads, value_hidden // heads), 4 * summed)
    scores = batch * (heads * rows * keys + rows * value_hidden)
    return max(4 * (moved + scores) + _mask(node, node.input(4), rows, keys), 4 * summed)


@allocates("com.microsoft.Attention")
def _packed_attention(node: Node) -> int:
    """attention.cc of contrib_ops: queries, keys and values, the scores with the mask, and the results by head."""
    batch, rows, _ = node.x.shape
    projected = node.required(1).shape[-1]
    past = node.input(4)
    keys = rows + (past.shape[3] if past is not None else 0)
    scores = batch * int(node.attributes["num_heads"]) * rows * keys
    return 4 * (batch * rows * projected + scores + node.out.size) + _mask(node, node.input(3), rows, keys)


@allocates("com.microsoft.GroupQueryAttention")
def _grouped_query(node: Node) -> int:
    """gqa_attention_base.h, group_query_attention.cc: queries, keys and values by head, again if they are rotated, and the
    blocks of flash attention, or without it the scores. For 16 bits, with these in 32: the results and each thread's values.
    """
    heads, groups = int(node.attributes["num_heads"]), int(node.attributes["kv_num_heads"])
    batch, rows, width = node.x.shape
    head = width // (heads + 2 * groups) if node.input(1) is None else width // heads
    present = node.outputs[1] if len(node.outputs) > 1 else None
    keys = present.shape[2] if present is not None else rows
    moved = batch * rows * head * (heads + 2 * groups)
    if node.attributes.get("do_rotary"):
        moved += batch * rows * head * (heads + groups)
    has_sink = node.attributes.get("smooth_softmax", -1) > 0
    if node.x.dtype != "float32" or has_sink or node.attributes.get("softcap") or node.input(10) is not None:
        threads = min(THREADS, batch * heads)
        in_floats = (batch * rows * heads + threads * keys) * head if _width(node.x) == 2 else 0
        return _width(node.x) * moved + 4 * (batch * heads * rows * keys + in_floats)
    return 4 * moved + _flash(rows, keys, head, head)


@allocates("Einsum")
def _einsum(node: Node) -> int:
    """einsum_compute_preprocessor.cc, einsum_typed_compute_processor.cc: each operand with its dims in the order in which the
    labels occur, then operands and result of each product in the order that the product needs, and the result in that of the
    output.
    """
    operands = [tensor for tensor in node.inputs if tensor is not None]
    terms, output = einsum_terms(str(node.attributes["equation"]), [tensor.rank for tensor in operands])
    pairs = (pair for term, tensor in zip(terms, operands, strict=True) for pair in zip(term, tensor.shape, strict=True))
    sizes = dict(sorted(pairs))
    labels = "".join(dict.fromkeys("".join(terms)))
    held = sum(tensor.size for term, tensor in zip(terms, operands, strict=True) if not _is_ordered(term, labels))
    if len(terms) == 1:
        return _width(node.x) * prod(sizes[label] for label in output)
    most, left = 0, terms[0]
    for place, right in enumerate(terms[1:], start=1):
        wanted = set(output).union(*terms[place + 1 :])
        long = [{label for label in term if sizes[label] > 1} for term in (left, right)]
        summed = [x for x in labels if x in left and x in right and x not in wanted]
        batch = [x for x in labels if x in long[0] & long[1] and x not in summed]
        alone = [x for x in labels if x in long[0] - long[1] and x not in summed]
        other = [x for x in labels if x in {*left, *right} - {*batch, *alone, *summed}]  # with those of size 1
        rest = [x for x in labels if x not in left and x not in right]
        size = held
        for order, term in ((batch + alone + summed + other, left), (batch + summed + other + alone, right)):
            size += 0 if _is_ordered("".join([*order, *rest]), labels) else prod(sizes[x] for x in term)
        made = "".join([*batch, *alone, *other])
        result = prod(sizes[x] for x in made)
        is_last = place == len(terms) - 1
        is_moved = made != output if is_last else not _is_ordered(made, labels)
        most = max(most, size + result * (1 + is_moved))
        held += result
        left = made
    return _width(node.x) * most


def _is_ordered(term: str, labels: str) -> bool:
    """Whether the labels of a term are in the order of all."""
    return all(before < after for before, after in pairwise(map(labels.index, term)))


@allocates("DFT", "STFT")
def _fourier(node: Node) -> int:
    """dft.cc: for a length that is not a power of 2, four complex buffers of the next power above twice that (Bluestein)."""
    if node.key == "STFT":
        window, length = node.input(2), node.input(3)
        size = window.shape[0] if window is not None else int((length.value or (0,))[0]) if length is not None else 0
    else:
        size = node.x.shape[int(node.attributes.get("axis", 1)) % node.x.rank]
    return 0 if size & (size - 1) == 0 else 4 * 8 * (1 << (2 * size - 2).bit_length())


WORKSPACES |= {
    "com.microsoft.DynamicQuantizeMatMul": lambda node: node.x.size,
}
