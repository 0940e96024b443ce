"""Recurrent layers of onnxruntime: LSTM on weights of 8 bits, and LSTM with attention.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxcost.formulas.activation import softmax_work
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.quantized import dynamic_quantize_linear
from onnxcost.formulas.recurrent import lstm
from onnxcost.formulas.reduction import ADD, FUNCTION, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, formula
from onnxcost.graph import Node, Tensor
from onnxcost.work import NO_WORK, Work


def _states(node: Node, hidden: int) -> Sequence[TensorType | None]:
    """Y, the last H and the last C."""
    (steps, batch, _), directions = node.x.shape, node.required(1).shape[0]
    last = (node.x.dtype, (directions, batch, hidden))
    return [(node.x.dtype, (steps, directions, batch, hidden)), last, last]


@formula("LSTM with W and R of 8 bits", macs="4·D·T·N·H·(I + H)",
         flops="LSTM, + D·(8·X + 7 + T·(8·N·H + 7)) to quantize X and H, + 8·D·T·N·H for scales, + W + R for zero points",
         shapes=lambda node: _states(node, node.required(2).shape[1]))  # fmt: skip
def dynamic_quantize_lstm(node: Node) -> Work:
    """W of D × I × 4H and R of D × H × 4H; X once a direction and H every step are quantized to their own range, sums scaled.

    LSTM's inputs follow as there, then scales and zero points.
    """
    directions, hidden, gates = node.required(2).shape
    steps, batch, _ = node.x.shape
    weight, recurrence = node.required(1), replace(node.required(2), dims=(directions, gates, hidden))
    flipped = replace(node, inputs=(node.x, weight, recurrence, *node.inputs[3:8]))
    state = replace(node, inputs=(Tensor("", node.x.dtype, (batch, hidden)),))
    quantized = dynamic_quantize_linear(node) + steps * dynamic_quantize_linear(state)
    centred = (node.x.size + steps * batch * hidden) * ADD
    scaled = 2 * steps * batch * gates * MUL
    constants = Work(adds=weight.size + node.required(2).size)
    return lstm(flipped) + directions * (quantized + centred + scaled) + constants


def _attended(node: Node) -> Work:
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
         flops="2·macs − sums, + as LSTM, + 2 an element of tanh, + the softmax",
         shapes=lambda node: _states(node, node.required(2).shape[2]))  # fmt: skip
def attention_lstm(node: Node) -> Work:
    """Bahdanau attention over the memory M (input 11) at every step; LSTM's input is X beside the attention before."""
    steps, batch, _ = node.x.shape
    widened = replace(node.x, dims=(steps, batch, node.required(1).shape[2]))
    return lstm(replace(node, inputs=(widened, *node.inputs[1:8]))) + node.required(1).shape[0] * _attended(node)


TABLE: FormulaTable = {"com.microsoft.DynamicQuantizeLSTM": dynamic_quantize_lstm, "com.microsoft.AttnLSTM": attention_lstm}
