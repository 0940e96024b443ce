"""Contractions with what onnxruntime fuses into them: an activation, a bias, a residual, a transposition.

Each is the standard formula and its activation's. Page of com.microsoft.X:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.

The NCHWc domain has convolutions on blocks of channels, which onnxruntime writes when it optimizes for this processor. Dims
stay N × C × space; C is padded to a multiple of the block, 8 or 16 as the processor has it, until ReorderOutput drops the
padding: https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/graph/contrib_ops/nchwc_schema_defs.cc
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from onnxcost.formulas import activation, elementwise
from onnxcost.formulas.activation import softmax_work
from onnxcost.formulas.contraction import bias_work, dot_products, gemm, matmul
from onnxcost.formulas.contrib.activation import FAST_GELU
from onnxcost.formulas.convolution import conv, conv_transpose
from onnxcost.formulas.quantized import dynamic_quantize_linear
from onnxcost.formulas.recurrent import lstm
from onnxcost.formulas.reduction import ADD, COMPARE, FUNCTION, MUL, POOLING, reduction_work
from onnxcost.formulas.resampling import resize
from onnxcost.formulas.shapes import Dims, conv_rule, elements, gemm_type, like, pool_rule, product, window_steps, with_shapes
from onnxcost.formulas.table import Formula, FormulaTable, TensorType, Types, formula, no_arithmetic, per_output
from onnxcost.graph import NO_WORK, Node, Tensor, Work

ACTIVATIONS: Mapping[str, Formula] = {
    **{name.lower(): row for name, row in activation.POINTWISE.items()},
    "gelu": activation.gelu,
    "tanh": per_output("Y = tanh(X)", transcendentals=1),
    "clip": per_output("Y = min(max(X, low), high)", compares=2),
    "affine": per_output("Y = α·X + β", muls=1, adds=1),
    "scaledtanh": per_output("Y = α·tanh(β·X)", muls=2, transcendentals=1),
    "scaledelu": activation.POINTWISE["Selu"],
    "silu": per_output("Y = X·σ(X)", adds=2, transcendentals=1, divs=1, muls=1),
    "quickgelu": activation.POINTWISE["Swish"],
    "none": per_output("Y = X"),
    **{name.lower(): row for name, row in elementwise.FUNCTIONS.items() if isinstance(row, Formula)},
}
"""What ``activation`` may name, in lower case: the operator's own formula, on the output."""


def activation_work(node: Node) -> Work:
    """The activation that the attribute names, on the first output; raises KeyError for one that onnxruntime lacks."""
    name = (node.attributes.get("activation") or "none").lower()
    if name in ("softmax", "logsoftmax"):
        axis = node.attributes.get("activation_axis", -1) % node.out.rank
        return softmax_work(node.out.size, prod(size for at, size in enumerate(node.out.shape) if at != axis))
    return ACTIVATIONS[name](node)


@formula("Y = activation(X∗W + B + Z)", macs="out·C_in/groups·k",
         flops="as Conv, + out for Z, + the activation", shapes=conv_rule())  # fmt: skip
def fused_conv(node: Node) -> Work:
    """As Conv; Z is a residual. Channels come second or last, W is of C_out × C_in/groups × kernel in either case."""
    return conv(node) + Work(adds=node.out.size if node.input(3) else 0) + activation_work(node)


def conv_transpose_type(node: Node, weight: int, pads: Sequence[int] | None) -> TensorType:
    """The output of a transposed convolution, channels second, of the weight at one input."""
    filters, space = node.required(weight).shape, node.x.shape[2:]
    zeros, (strides, dilations) = (0,) * 2 * len(space), window_steps(node, len(space))
    extra = node.attributes.get("output_padding") or zeros
    pads = pads or zeros
    is_same = (node.attributes.get("auto_pad") or "").startswith("SAME")
    given = tuple(length * strides[i] for i, length in enumerate(space)) if is_same else node.attributes.get("output_shape")
    lengths = given or tuple(
        max(0, (length - 1) * strides[i] + extra[i] + (filters[2 + i] - 1) * dilations[i] + 1 - pads[i] - pads[i + len(space)])
        for i, length in enumerate(space)
    )
    return node.x.dtype, (node.x.shape[0], filters[1] * node.attributes.get("group", 1), *lengths)


@formula(
    "Y += X·W at each input position, + B",
    macs="in·C_out/groups·k",
    flops="as ConvTranspose",
    shapes=lambda node: [conv_transpose_type(node, 1, elements(node, 2, "the pads") if node.input(2) else None)],
)
def conv_transpose_with_dynamic_pads(node: Node) -> Work:
    """ConvTranspose whose pads are input 2, and B input 3."""
    return conv_transpose(replace(node, inputs=(*node.inputs[:2], node.input(3))))


@formula("Y = activation(α·A·B + β·C)", macs="out·K", flops="as Gemm, + the activation",
         shapes=lambda node: [gemm_type(node, node.x, node.required(1))])  # fmt: skip
def fused_gemm(node: Node) -> Work:
    """As Gemm, and the activation."""
    return gemm(node) + activation_work(node)


FLOAT_TYPES = {1: "float32", 10: "float16", 16: "bfloat16", 17: "float8e4m3fn", 19: "float8e5m2"}
"""What the attribute ``dtype`` may say, numbered as in onnx's TensorProto."""


@formula(
    "Y = activation(s·α·A·B + β·C)",
    macs="out·K",
    flops="as Gemm, + out for the scales, + the activation",
    shapes=lambda node: [(FLOAT_TYPES[node.attributes.get("dtype", 1)], gemm_type(node, node.x, node.required(1))[1])],
)
def gemm_float8(node: Node) -> Work:
    """As Gemm with β = 0 by default; s are the scales of A, B and Y, applied to the sums together."""
    attributes = {**node.attributes, "beta": node.attributes.get("beta", 0.0)}
    scaled = any(node.input(index) for index in (3, 4, 5))
    return gemm(replace(node, attributes=attributes)) + Work(muls=node.out.size if scaled else 0) + activation_work(node)


def operand_dims(node: Node, index: int) -> Dims:
    """The dims of an operand as it is multiplied: ``transBatch`` puts the first dim last but one, ``trans`` swaps two."""
    side, dims = "AB"[index], node.required(index).shape
    if len(dims) > 1 and node.attributes.get(f"transBatch{side}"):
        dims = (*dims[1:-1], dims[0], dims[-1])
    return (*dims[:-2], dims[-1], dims[-2]) if len(dims) > 1 and node.attributes.get(f"trans{side}") else dims


@formula(
    "Y = activation(α·A·B)",
    macs="out·K",
    flops="out·(2K−1), + out if α≠1, + the activation",
    shapes=lambda node: [(node.x.dtype, product(operand_dims(node, 0), operand_dims(node, 1)))],
)
def fused_matmul(node: Node) -> Work:
    """A and B are transposed as their attributes say; K is the last dim of A. The activation is FusedMatMulActivation's."""
    scaled = Work(muls=node.out.size if node.attributes.get("alpha", 1.0) != 1 else 0)
    return dot_products(node.out.size, operand_dims(node, 0)[-1]) + scaled + activation_work(node)


@formula("Y = FastGelu(X·W + bias)", macs="out·K", flops="out·(2K−1) + 8·out, + out for the bias",
         shapes=lambda node: [(node.x.dtype, product(node.x.shape, node.required(1).shape))])  # fmt: skip
def gemm_fast_gelu(node: Node) -> Work:
    """MatMul, a bias and the tanh approximation of Gelu."""
    return matmul(node) + bias_work(node, 2) + node.out.size * FAST_GELU


def _state_type(node: Node) -> TensorType | None:
    """The carry state: like the past one, or of (k − 1)·dilation positions."""
    if past := node.input(3):
        return past.dtype, past.shape
    if node.attributes.get("ndim", 1) != 1:
        return None
    length = (node.required(1).shape[-1] - 1) * node.attributes.get("dilation", 1)
    window = (node.attributes["state_window"],) if node.attributes.get("state_window") else ()
    if node.attributes.get("channels_last"):
        return node.x.dtype, (*window, node.x.shape[0], length, *node.x.shape[2:])
    return node.x.dtype, (*window, *node.x.shape[:2], length)


@formula("Y = activation(X∗W + B), X before the first position from the state", macs="out·k",
         flops="out·(2k − 1), + out for B, + 5·out for SiLU",
         shapes=lambda node: [(node.x.dtype, node.x.shape), _state_type(node)])  # fmt: skip
def contrib_causal_conv(node: Node) -> Work:
    """Depthwise, W of channels × 1 × kernel: every output is a sum over the k positions up to its own."""
    return conv(node) + activation_work(node)


@formula(
    "Y = activation(X∗W + B) in each packed sequence",
    macs="out·k",
    flops="as CausalConvWithState",
    shapes=lambda node: [
        *like(0, 4)(node),
        (node.x.dtype, (node.required(4).shape[0], node.attributes.get("state_update_capacity", 0), node.x.shape[1])),
    ],
)
def varlen_causal_conv(node: Node) -> Work:
    """CausalConvWithState on tokens × channels; the bias is input 3."""
    return contrib_causal_conv(replace(node, inputs=(*node.inputs[:2], node.input(3))))


@formula("Y = max over windows of tanh(characters∗W + B)", macs="words·windows·out/words·k",
         flops="2·macs − sums, + 2 for B and tanh, + the maxima",
         shapes=lambda node: [(node.required(1).dtype, (*node.x.shape[:-1], node.required(1).shape[0]))])  # fmt: skip
def word_conv_embedding(node: Node) -> Work:
    """W of filters × 1 × window × character embedding on each word's characters; every word counts with its full length."""
    filters, *taps = node.required(1).shape
    words, window = prod(node.x.shape[:-1]), node.attributes.get("conv_window_size") or taps[1]
    results = words * (node.x.shape[-1] - window + 1) * filters
    return (
        dot_products(results, prod(taps))
        + results * FUNCTION
        + Work(bias_adds=results)
        + reduction_work(results, words * filters, COMPARE)
    )


TABLE: FormulaTable = {
    "com.microsoft.FusedConv": fused_conv,
    "com.microsoft.NhwcConv": replace(fused_conv, shapes=conv_rule(channels_last=True)),
    "com.microsoft.NhwcFusedConv": replace(fused_conv, shapes=conv_rule(channels_last=True)),
    "com.microsoft.ConvTransposeWithDynamicPads": conv_transpose_with_dynamic_pads,
    "com.microsoft.CausalConvWithState": contrib_causal_conv,
    "com.microsoft.VarlenCausalConvWithState": varlen_causal_conv,
    "com.microsoft.WordConvEmbedding": word_conv_embedding,
    "com.microsoft.FusedGemm": fused_gemm,
    "com.microsoft.GemmFloat8": gemm_float8,
    "com.microsoft.FusedMatMul": fused_matmul,
    "com.microsoft.TransposeMatMul": fused_matmul,
    "com.microsoft.FusedMatMulActivation": fused_matmul,
    "com.microsoft.GemmFastGelu": gemm_fast_gelu,
}

BLOCK = 8
"""The smallest block that onnxruntime has; a processor with blocks of 16 may pad what ReorderInput makes by 8 channels more."""


@formula(
    "Y = activation(X∗W + B + Z) on blocks of channels", macs="out·C_in/groups·k", flops="as FusedConv", shapes=conv_rule()
)
def blocked_conv(node: Node) -> Work:
    """As FusedConv, on the channels that the model had before padding, if the graph has their number.

    The frontend notes them as ``channels`` and ``input_channels``. Between two blocked convolutions nothing but the zeros in
    the weights says which channels are padding: there the padded ones count, which is what the processor computes.
    """
    out, weight = node.out, node.required(1)
    made, read = node.attributes.get("channels"), node.attributes.get("input_channels")
    if made:
        out = replace(out, dims=(out.shape[0], made, *out.shape[2:]))
    if read and node.attributes.get("group", 1) == 1:
        weight = replace(weight, dims=(weight.shape[0], read, *weight.shape[2:]))
    return fused_conv(replace(node, inputs=(node.x, weight, *node.inputs[2:]), outputs=(out,)))


def _reorder_input_types(node: Node) -> Types:
    """Channels second, padded."""
    batch, *inner = node.x.shape
    channels = inner.pop(-1 if node.attributes.get("channels_last") else 0)
    return [(node.x.dtype, (batch, -(-channels // BLOCK) * BLOCK, *inner))]


def _reorder_output_types(node: Node) -> Types:
    """``channels`` of the padded ones, last where ``channels_last`` says so."""
    batch, _, *space = node.x.shape
    channels = node.attributes["channels"]
    dims = (batch, *space, channels) if node.attributes.get("channels_last") else (batch, channels, *space)
    return [(node.x.dtype, dims)]


POOLED: dict[str, Formula] = {
    f"com.microsoft.nchwc.{name}": with_shapes(row, pool_rule())
    for name, row in POOLING.items()
    if name in ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
}

NCHWC: FormulaTable = {
    **POOLED,
    "com.microsoft.nchwc.Conv": blocked_conv,
    "com.microsoft.nchwc.Upsample": with_shapes(
        resize,
        lambda node: [
            (node.x.dtype, tuple(size * scale for size, scale in zip(node.x.shape, node.attributes["scales"], strict=True)))
        ],
    ),
    "com.microsoft.nchwc.ReorderInput": no_arithmetic("Y = X in blocks of channels", shapes=_reorder_input_types),
    "com.microsoft.nchwc.ReorderOutput": no_arithmetic("Y = X out of its blocks of channels", shapes=_reorder_output_types),
}


def _state_types_of(node: Node, hidden: int) -> Types:
    """Y, the last H and the last C."""
    (steps, batch, _), directions = node.x.shape, node.required(1).shape[0]
    last = (node.x.dtype, (directions, batch, hidden))
    return [(node.x.dtype, (steps, directions, batch, hidden)), last, last]


@formula("LSTM with W and R of 8 bits", macs="4·D·T·N·H·(I + H)",
         flops="LSTM, + D·(8·X + 7 + T·(8·N·H + 7)) to quantize X and H, + 8·D·T·N·H for scales, + W + R for zero points",
         shapes=lambda node: _state_types_of(node, node.required(2).shape[1]))  # fmt: skip
def dynamic_quantize_lstm(node: Node) -> Work:
    """W of D × I × 4H and R of D × H × 4H; X is quantized once per direction and H in every step, each to its own range; the
    sums are scaled.

    LSTM's inputs follow as there, then scales and zero points.
    """
    directions, hidden, gates = node.required(2).shape
    steps, batch, _ = node.x.shape
    weight, recurrence = node.required(1), replace(node.required(2), dims=(directions, gates, hidden))
    flipped = replace(node, inputs=(node.x, weight, recurrence, *node.inputs[3:8]))
    state = replace(node, inputs=(Tensor("", node.x.dtype, (batch, hidden)),))
    quantized = dynamic_quantize_linear(node) + steps * dynamic_quantize_linear(state)
    centered = (node.x.size + steps * batch * hidden) * ADD
    scaled = 2 * steps * batch * gates * MUL
    constants = Work(adds=weight.size + node.required(2).size)
    return lstm(flipped) + directions * (quantized + centered + scaled) + constants


def _attention_work(node: Node) -> Work:
    """One direction's attention: keys once; for each step and sequence the query, its scores, their softmax and the context."""
    query, keys, memory, layer = node.required(8), node.required(9), node.required(11), node.input(13)
    _, hidden, width = query.shape
    batch, positions, depth = memory.shape
    rows = node.x.shape[0] * batch
    scores = rows * positions
    aligned = scores * width * (ADD + FUNCTION) + dot_products(scores, width) + softmax_work(scores, rows if positions else 0)
    context = dot_products(rows * depth, positions)
    attended = dot_products(rows * layer.shape[2], layer.shape[1]) if layer else NO_WORK
    projections = dot_products(batch * positions * width, keys.shape[1]) + dot_products(rows * width, hidden)
    return projections + aligned + context + attended


@formula("LSTM of (X, attention); attention = (H, softmax(v·tanh(M·W + H·Q))·M)·A",
         macs="LSTM's + D·(keys + T·N·(query + scores + context))",
         flops="2·macs − sums, + as LSTM, + 2 per element of tanh, + the softmax",
         shapes=lambda node: _state_types_of(node, node.required(2).shape[2]))  # fmt: skip
def attention_lstm(node: Node) -> Work:
    """Bahdanau attention over the memory M (input 11) at every step; LSTM's input is X and the previous attention."""
    steps, batch, _ = node.x.shape
    widened = replace(node.x, dims=(steps, batch, node.required(1).shape[2]))
    return lstm(replace(node, inputs=(widened, *node.inputs[1:8]))) + node.required(1).shape[0] * _attention_work(node)


RECURRENT: FormulaTable = {"com.microsoft.DynamicQuantizeLSTM": dynamic_quantize_lstm, "com.microsoft.AttnLSTM": attention_lstm}
