"""What an optional input adds to the work of onnxruntime's operators, by its name in the schema.

Each number follows from the definition in words beside it.
"""

from typing import Any

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from onnxcost.formulas import FORMULAS
from onnxcost.graph import Work
from tests.formulas.contrib import MS, i32, node_of, u8

NHWC = "com.ms.internal.nhwc."
INPUTS = {f"{each.domain}.{each.name}": [given.name for given in each.inputs] for each in get_all_operator_schema()}


def softmax(rows: int, n: int) -> Work:
    """The maximum, differences, exponentials, their sum and n divisions in each row."""
    return Work(compares=rows * (n - 1), adds=rows * n + rows * (n - 1), transcendentals=rows * n, divs=rows * n)


def longer(rows: int, before: int, keys: int, *sizes: int) -> Work:
    """Attention to more keys: a score each of the first size, and a product for each element of a value's head, the second."""
    new = rows * (keys - before)
    return Work(macs=new * sum(sizes), accumulators=new) + softmax(rows, keys) + -1 * softmax(rows, before)


NONE = Work()
# 2·3 tokens of 8, 2 heads of 4: 6·24 results, 12 rows of 3 scores
MERGED = {"input": (2, 3, 8), "weights": (8, 24)}
PAST = ((2, 2, 2, 5, 4), longer(12, 3, 8, 4, 4))
INTEGERS = {"input": u8(2, 3, 8), "weight": u8(8, 24), "bias": (24,), "input_scale": (), "weight_scale": ()}
ORDERED = {"input": u8(2, 3, 8), **{f"{name}_weight": u8(8, 8) for name in "QKV"}, **{f"{name}_bias": (8,) for name in "QKV"}}
IMAGE, LAST = {"X": (1, 3, 6, 6), "W": (2, 3, 3, 3)}, {"X": (1, 6, 6, 3), "W": (2, 3, 3, 3)}
CODED = {"x": u8(1, 6, 6, 3), "x_scale": (), "x_zero_point": u8(), "w": u8(2, 3, 3, 3), "w_scale": (), "w_zero_point": u8(),
         "y_scale": (), "y_zero_point": u8()}  # fmt: skip
EMBEDDED = {"input_ids": (1, 2), "gamma": (4,), "beta": (4,), "word_embedding": (9, 4), "position_embedding": (8, 4)}
CODES = {"input_ids": (1, 2), "gamma_quant": (4,), "beta_quant": (4,), "word_embedding_quant": (9, 4),
         "position_embedding_quant": (8, 4)}  # fmt: skip
EXPERTS = {"input": (5, 4), "router_probs": (5, 3), "fc1_experts_weights": (3, 6, 4), "fc2_experts_weights": (3, 4, 6),
           "fc3_experts_weights": (3, 6, 4)}  # fmt: skip
PACKED = {"input": (5, 4), "router_probs": (5, 3), "fc1_experts_weights": u8(3, 6, 2), "fc1_scales": (3, 6),
          "fc2_experts_weights": u8(3, 4, 3), "fc2_scales": (3, 4)}  # fmt: skip

# operator, the inputs that stay, outputs, attributes; others and what each adds
ROWS: list[tuple[str, dict[str, Any], list[Any], dict[str, Any], dict[str, tuple[Any, Work]]]] = [
    # 20 sums in floats; in 8 bits they are rounded, kept within two bounds and moved, and the scale divided by that of Y
    (MS + "QGemm", {"A": u8(4, 3), "a_scale": (), "B": u8(3, 5), "b_scale": ()}, [(4, 5)], {},
     {"C": (i32(0, 0, 0, 0, 0), Work(bias_adds=20)), "y_scale": ((), Work(adds=20, compares=60, divs=1))}),
    (MS + "MatMulIntegerToFloat", {"A": u8(2, 3), "B": u8(3, 4), "a_scale": (), "b_scale": (4,)}, [(2, 4)], {},
     {"a_zero_point": (u8(), Work(adds=6)), "b_zero_point": (u8(), Work(adds=12)), "bias": ((4,), Work(bias_adds=8))}),
    (MS + "DynamicQuantizeMatMul", {"A": (2, 3), "B": u8(3, 4), "b_scale": ()}, [(2, 4)], {},
     {"b_zero_point": (u8(), Work(adds=12)), "bias": ((4,), Work(bias_adds=8))}),
    (MS + "MulInteger", {"A": u8(2, 3), "B": u8(3)}, [(2, 3)], {},
     {"A_zero_point": (u8(), Work(adds=6)), "B_zero_point": (u8(), Work(adds=3))}),
    (MS + "QLinearConv", CODED, [u8(1, 4, 4, 2)], {"channels_last": 1}, {"B": (i32(0, 0), Work(bias_adds=32))}),
    (MS + "QOrderedMatMul", {"A": u8(1, 2, 3), "B": u8(3, 4)}, [u8(1, 2, 4)], {},
     {"bias": ((4,), Work(bias_adds=8)), "C": (u8(1, 2, 4), Work(muls=8, adds=8))}),
    (MS + "QOrderedLayerNormalization", {"X": u8(2, 4), "scale": (4,)}, [u8(2, 4)], {}, {"B": ((4,), Work(adds=8))}),
    # X of 48 and W of 192 less their zero points; a mask or a bias for each of 36 scores
    (MS + "QAttention", INTEGERS, [(2, 3, 8)], {"num_heads": 2},
     {"input_zero_point": (u8(), Work(adds=48)), "weight_zero_point": (u8(), Work(adds=192)),
      "mask_index": ((2, 3), Work(adds=36)), "past": PAST}),
    (MS + "QOrderedAttention", ORDERED, [u8(2, 3, 8)], {"num_heads": 2},
     {"mask_index": ((2, 3), Work(adds=36)), "attention_bias": ((1, 2, 3, 3), Work(adds=36)),
      # 60 more scores and their softmax are scaled and saturated
      "past": (PAST[0], PAST[1] + Work(muls=120, compares=360))}),
    (MS + "Attention", MERGED, [(2, 3, 8)], {"num_heads": 2},
     {"bias": ((24,), Work(bias_adds=144)), "mask_index": ((2, 3), Work(adds=36)), "past": PAST,
      "attention_bias": ((1, 2, 3, 3), Work(adds=36))}),
    (MS + "DecoderMaskedSelfAttention",
     {"input": (1, 1, 8), "weights": (8, 24), "past": (2, 1, 2, 9, 4), "past_sequence_length": i32(5)}, [(1, 1, 8)],
     {"num_heads": 2},
     {"bias": ((24,), Work(bias_adds=24)), "mask_index": ((1, 6), Work(adds=12)),
      "attention_bias": ((1, 2, 1, 6), Work(adds=12)), "beam_width": (i32(1), NONE)}),
    # biases of Q (48), K (80) and V (60); 60 scores
    (MS + "MultiHeadAttention", {"query": (2, 3, 8), "key": (2, 5, 8), "value": (2, 5, 6)}, [(2, 3, 6)], {"num_heads": 2},
     {"bias": ((22,), Work(bias_adds=188)), "key_padding_mask": ((2, 5), Work(adds=60)),
      "attention_bias": ((1, 2, 3, 5), Work(adds=60))}),
    (MS + "DecoderMaskedMultiHeadAttention",
     {"query": (1, 1, 8), "key": (1, 1, 8), "value": (1, 1, 8), "past_key": (1, 2, 9, 4), "past_value": (1, 2, 9, 4),
      "past_sequence_length": i32(5)}, [(1, 1, 8)], {"num_heads": 2},
     {"mask_index": ((1, 6), Work(adds=12)), "attention_bias": ((1, 2, 1, 6), Work(adds=12)),
      "bias": ((24,), Work(bias_adds=24))}),
    # 32 outputs; Z is a residual
    *((MS + key, inputs, [out], {}, {"B": ((2,), Work(bias_adds=32)), residual: (out, Work(adds=32))})
      for key, inputs, out, residual in (("FusedConv", IMAGE, (1, 2, 4, 4), "Z"), ("NhwcFusedConv", LAST, (1, 4, 4, 2), "Z"),
                                         ("nchwc.Conv", IMAGE, (1, 2, 4, 4), "Sum"))),
    *((key, LAST, [(1, 4, 4, 2)], {}, {"B": ((2,), Work(bias_adds=32))}) for key in (MS + "NhwcConv", NHWC + "Conv")),
    (NHWC + "QLinearConv", CODED, [u8(1, 4, 4, 2)], {}, {"B": (i32(0, 0), Work(bias_adds=32))}),
    (MS + "ConvTransposeWithDynamicPads", {"X": (1, 3, 4), "W": (3, 2, 3)}, [(1, 2, 6)], {},
     {"Pads": (np.array([0, 0]), NONE), "B": ((2,), Work(bias_adds=12))}),
    (MS + "CausalConvWithState", {"input": (2, 4, 9), "weight": (4, 1, 3)}, [(2, 4, 9), (2, 4, 2)], {},
     {"bias": ((4,), Work(bias_adds=72)), "past_state": ((2, 4, 2), NONE)}),
    (MS + "VarlenCausalConvWithState",
     {"input": (9, 4), "weight": (4, 1, 3), "cumulative_sequence_length": (3,), "initial_state": (2, 4, 2)},
     [(9, 4), (2, 4, 2)], {}, {"bias": ((4,), Work(bias_adds=36))}),
    (MS + "FusedGemm", {"A": (4, 3), "B": (5, 4)}, [(3, 5)], {"transA": 1, "transB": 1}, {"C": ((5,), Work(bias_adds=15))}),
    (MS + "GemmFloat8", {"A": (3, 4), "B": (5, 4)}, [(3, 5)], {"transB": 1, "beta": 1.0},
     {"C": ((5,), Work(bias_adds=15)), **{f"scale{name}": ((1,), Work(muls=15)) for name in "ABY"}}),
    (MS + "GemmFastGelu", {"X": (3, 4), "W": (4, 5)}, [(3, 5)], {}, {"bias": ((5,), Work(bias_adds=15))}),
    (MS + "SkipLayerNormalization", {"input": (2, 4), "skip": (2, 4), "gamma": (4,)}, [(2, 4)], {},
     {"beta": ((4,), Work(adds=8)), "bias": ((4,), Work(adds=8))}),
    (MS + "SkipSimplifiedLayerNormalization", {"input": (2, 4), "skip": (2, 4), "gamma": (4,)}, [(2, 4)], {},
     {"bias": ((4,), Work(adds=8))}),
    (MS + "SkipGroupNorm", {"X": (1, 3, 2, 4), "gamma": (4,), "beta": (4,), "skip": (1, 3, 2, 4)}, [(1, 3, 2, 4)],
     {"groups": 2}, {"bias": ((4,), Work(adds=24))}),
    (MS + "EmbedLayerNormalization", EMBEDDED, [(1, 2, 4)], {},
     {"segment_embedding": ((2, 4), Work(adds=8)), "position_ids": ((1, 2), NONE)}),
    (MS + "QEmbedLayerNormalization", CODES, [(1, 2, 4)], {},
     {"segment_embedding": ((2, 4), Work(adds=8, dequantizations=16))}),
    (MS + "BranchwiseRMSNorm", {"X": (2, 8)}, [(2, 8)], {"num_branches": 2}, {"scale": ((8,), Work(muls=16))}),
    # 10 pairs of a token and an expert, 6 wide inside and 4 outside
    (MS + "MoE", EXPERTS, [(5, 4)], {"k": 2, "activation_type": "silu"},
     {"fc1_experts_bias": ((3, 6), Work(bias_adds=60)), "fc2_experts_bias": ((3, 4), Work(bias_adds=40)),
      "fc3_experts_bias": ((3, 6), Work(bias_adds=60))}),
    (MS + "QMoE", PACKED, [(5, 4)], {"k": 2},
     {"fc1_experts_bias": ((3, 6), Work(bias_adds=60)), "fc2_experts_bias": ((3, 4), Work(bias_adds=40)),
      "router_weights": ((5, 3), -1 * softmax(5, 3))}),
    (MS + "MatMulNBits", {"A": (2, 64), "B": u8(5, 2, 16), "scales": (5, 2)}, [(2, 5)], {"K": 64, "N": 5, "block_size": 32},
     {"zero_points": (u8(5, 1), NONE), "g_idx": ((64,), NONE), "bias": ((5,), Work(bias_adds=10))}),
    # 10 steps of 4: four gates' biases, both added once; three peepholes
    (MS + "DynamicQuantizeLSTM", {"X": (5, 2, 3), "W": u8(1, 3, 16), "R": u8(1, 4, 16)}, [(5, 1, 2, 4)], {"hidden_size": 4},
     {"B": ((1, 32), Work(bias_adds=160, adds=16)), "P": ((1, 12), Work(adds=120, muls=120)), "initial_h": ((1, 2, 4), NONE)}),
    (MS + "AttnLSTM", {"X": (5, 2, 3), "W": (1, 16, 9), "R": (1, 16, 4), "QW": (1, 4, 2), "MW": (1, 6, 2), "V": (1, 2),
                       "M": (2, 7, 6)}, [(5, 1, 2, 4)], {"hidden_size": 4},
     {"B": ((1, 32), Work(bias_adds=160, adds=16)), "P": ((1, 12), Work(adds=120, muls=120)), "initial_c": ((1, 2, 4), NONE),
      # the context of 6 at 10 steps times a layer of 6 to 5
      "AW": ((1, 6, 5), Work(macs=300, accumulators=50))}),
    # 36 scores
    (MS + "GroupQueryAttention",
     {"query": (1, 3, 32), "key": (1, 3, 16), "value": (1, 3, 16), "seqlens_k": i32(2), "total_sequence_length": i32(3)},
     [(1, 3, 32)], {"num_heads": 4, "kv_num_heads": 2},
     {"attention_bias": ((1, 4, 3, 3), Work(adds=36)), "cos_cache": ((9, 4), NONE)}),
    (MS + "DecoderAttention",
     {"query": (3, 2, 8), "key": (5, 2, 8), "q_weight": (8, 8), "kv_weight": (8, 16), "bias": (24,), "static_kv": i32(0),
      "use_past": i32(0), "has_layer_state": i32(0)}, [(3, 2, 8)], {"num_heads": 2},
     {"key_padding_mask": ((2, 3), Work(adds=36))}),
    # a third projection of the 10 pairs, its product, and 3·24 weights that are dequantized
    (MS + "QMoE", PACKED | {"fc3_scales": (3, 6)}, [(5, 4)], {"k": 2, "activation_type": "silu"},
     {"fc3_experts_weights": (u8(3, 6, 2), Work(macs=240, accumulators=60, muls=60, dequantizations=144))}),
    (MS + "MatMulBlockQuantizedFp8Weight", {"A": (2, 64), "B": u8(5, 64), "b_scale": (5, 1)}, [(2, 5)], {},
     {"bias": ((5,), Work(bias_adds=10))}),
]  # fmt: skip


CASES = [
    pytest.param(key, inputs, outputs, attributes, name, *added, id=f"{key} {name}")
    for key, inputs, outputs, attributes, optional in ROWS
    if key in INPUTS  # An older onnxruntime lacks some.
    for name, added in optional.items()
]


@pytest.mark.parametrize(("key", "inputs", "outputs", "attributes", "name", "each", "added"), CASES)
def test_what_it_adds(
    key: str, inputs: dict[str, Any], outputs: list[Any], attributes: dict[str, Any], name: str, each: Any, added: Work
) -> None:
    without, present = (
        FORMULAS[key](node_of((key, [given.get(place) for place in INPUTS[key]], outputs, attributes, None)))
        for given in (inputs, {**inputs, name: each})
    )
    assert present == without + added
