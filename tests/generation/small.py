"""A small encoder and a small decoder with a cache, as exporters make them."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from tests.modeltext import model

ENCODER = model(
    """(float[batch, 3, frames] features) => (float[batch, frames, 8] last_hidden_state)
    { x = Transpose <perm = [0, 2, 1]> (features) last_hidden_state = MatMul(x, w) }""",
    w=(3, 8),
)


def decoder(words: int = 16) -> ModelProto:
    """One layer of 2 heads of 4, with a cache: ``batch``, ``new`` tokens and ``past`` ones are open."""
    return model(
        """(int64[batch, sequence] input_ids,
            float[batch, 2, past_sequence, 4] past_key, float[batch, 2, past_sequence, 4] past_value)
        => (float[batch, sequence, 8] logits, float[batch, 2, total, 4] present_key, float[batch, 2, total, 4] present_value)
        <int64[4] heads = {0, 0, 2, 4}, int64[3] flat = {0, 0, 8}> {
            x = Gather(table, input_ids)
            a = MatMul(x, wq)
            b = Reshape(a, heads)
            q = Transpose <perm = [0, 2, 1, 3]> (b)
            present_key = Concat <axis = 2> (past_key, q)
            present_value = Concat <axis = 2> (past_value, q)
            k = Transpose <perm = [0, 1, 3, 2]> (present_key)
            scores = MatMul(q, k)
            p = Softmax(scores)
            mixed = MatMul(p, present_value)
            c = Transpose <perm = [0, 2, 1, 3]> (mixed)
            d = Reshape(c, flat)
            logits = MatMul(d, wo)
        }""",
        table=(words, 8),
        wq=(8, 8),
        wo=(8, 8),
    )


DECODER = decoder()


def decoder_macs(new: int, past: int, batch: int = 1) -> int:
    """By hand: two projections of 8 × 8, and scores and sums over all tokens for 2 heads of 4."""
    return batch * (2 * new * 8 * 8 + 2 * new * (past + new) * 8)


SHARED = model(
    """(int64[batch, sequence] input_ids, int32[batch] seqlens_k, int32 total_sequence_length,
        float[batch, 2, past_sequence, 8] past_key, float[batch, 2, past_sequence, 8] past_value)
    => (float[batch, sequence, 16] logits, float[batch, 2, total, 8] present_key, float[batch, 2, total, 8] present_value) {
        x = Gather(table, input_ids)
        k = MatMul(x, wk)
        logits, present_key, present_value = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 2>
            (k, k, k, past_key, past_value, seqlens_k, total_sequence_length)
    }""",
    domains=', "com.microsoft" : 1',
    table=(16, 16),
    wk=(16, 16),
)
"""The operator of onnxruntime-genai's models: with ``past_present_share_buffer`` it writes into the buffer of the past."""


def randomize(proto: ModelProto) -> ModelProto:
    """The model with random weights in place of zeros."""
    made, random = ModelProto(), np.random.default_rng(0)
    made.CopyFrom(proto)
    for weight in made.graph.initializer:
        if weight.data_type == TensorProto.FLOAT:
            weight.CopyFrom(numpy_helper.from_array(random.standard_normal(tuple(weight.dims), np.float32), weight.name))
    return made
