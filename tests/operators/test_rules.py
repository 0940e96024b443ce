"""Indices, numbers, fan-ins and packed weights of the rows of ``inputs``, against numbers by hand; inputs by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from onnxcost.errors import UnknownShape
from onnxcost.graph import Node, Tensor
from onnxcost.operators.inputs import ROLES, InputRole
from onnxcost.operators.rules import dim
from onnxcost.operators.traits import RECURRENT, REDUCTIONS, WINDOWS
from tests.operators import INPUTS

MS = "com.microsoft."
Inputs = Mapping[str, tuple[int, ...] | Tensor]


def node_of(key: str, inputs: Inputs, attributes: Mapping[str, Any], out: tuple[int, ...] | None = None) -> Node:
    """A node with inputs of these dims, by name; the others up to the last one are absent."""
    tensors = {name: Tensor(name, "float32", each) if isinstance(each, tuple) else each for name, each in inputs.items()}
    last = max((place for place, name in enumerate(INPUTS[key]) if name in tensors), default=-1)
    domain, _, op_type = key.rpartition(".")
    places = tuple(tensors.get(name) for name in INPUTS[key][: last + 1])
    return Node("", op_type, domain, places, (Tensor("out", "float32", out),), attributes)


def known(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of operators that this onnxruntime has: an older one lacks some."""
    return [row for row in rows if row[0] in INPUTS]


def role(key: str, name: str) -> InputRole:
    return ROLES[key][INPUTS[key].index(name)]


def ones(*values: int) -> Tensor:
    """A constant of one dim."""
    return Tensor("given", "int64", (len(values),), True, values)


SEQUENCE = Tensor("s", "float32", None, elements=(Tensor("a", "float32", (1,)),) * 3)

# An operator, its indices, its inputs, attributes; how many are valid.
INDICES: list[tuple[Any, ...]] = [
    *((f"{key}", "indices", {"data": (5, 7, 9)}, {}, 5) for key in ("Gather", "GatherElements", "ScatterElements")),
    *((f"{key}", "indices", {"data": (5, 7, 9)}, {"axis": 1}, 7) for key in ("Gather", "GatherElements", "ScatterElements")),
    ("Scatter", "indices", {"data": (5, 7, 9)}, {"axis": -1}, 9),
    # An index tuple of two fits the shorter of two axes, of which the batch is none.
    *((key, "indices", {"data": (9, 5, 7, 3), "indices": (4, 2)}, {}, 5) for key in ("GatherND", "ScatterND", MS + "GatherND")),
    ("GatherND", "indices", {"data": (3, 9, 7, 5), "indices": (3, 2)}, {"batch_dims": 1}, 7),
    # 16 positions, 5 new ones: the last one to begin at is 11.
    ("TensorScatter", "write_indices", {"past_cache": (1, 8, 16, 4), "update": (1, 8, 5, 4)}, {}, 12),
    ("TensorScatter", "write_indices", {"past_cache": (1, 16, 8), "update": (1, 6, 8)}, {"axis": 1}, 11),
    ("OneHot", "indices", {"depth": ones(6)}, {}, 6),
    ("OneHot", "indices", {"depth": (1,)}, {"axis": 0}, 4),
    ("OneHot", "indices", {"depth": (1,)}, {}, 3),
    ("MaxUnpool", "i", {"x": (1, 1, 2, 2)}, {}, 12),
    ("RotaryEmbedding", "position_ids", {"cos_cache": (50, 4)}, {}, 50),
    ("RoiAlign", "batch_indices", {"x": (3, 4, 8, 8)}, {}, 3),
    ("SequenceAt", "position", {"input_sequence": SEQUENCE}, {}, 3),
    ("SequenceErase", "position", {"input_sequence": SEQUENCE}, {}, 3),
    ("SequenceInsert", "position", {"input_sequence": SEQUENCE}, {}, 4),
    ("NegativeLogLikelihoodLoss", "target", {"input": (3, 10)}, {}, 10),
    ("SoftmaxCrossEntropyLoss", "labels", {"scores": (3, 10)}, {}, 10),
    ("ai.onnx.ml.ArrayFeatureExtractor", "y", {"x": (2, 3, 7)}, {}, 7),
    # One-hot by comparison with the constants of all classes, on either side.
    ("Equal", "a", {"a": (2, 1), "b": Tensor("b", "int64", (11,), True)}, {}, 11),
    ("Equal", "b", {"a": Tensor("a", "int64", (11,), True), "b": (2, 1)}, {}, 11),
    *((MS + key, ids, {table: (30, 8)}, {}, 30)
      for key, quantized in (("EmbedLayerNormalization", ""), ("QEmbedLayerNormalization", "_quant"))
      for ids, table in (("input_ids", f"word_embedding{quantized}"), ("segment_ids", "segment_embedding"))),
    (MS + "EmbedLayerNormalization", "position_ids", {"position_embedding": (40, 8)}, {}, 40),
    (MS + "GatherBlockQuantized", "indices", {"data": (9, 16)}, {}, 9),
    (MS + "GatherBlockQuantized", "indices", {"data": (9, 16)}, {"gather_axis": 1, "quantize_axis": 0}, 16),
    (MS + "GatherPacked", "indices", {"data": (9, 144)}, {}, 9),
    (MS + "TorchEmbedding", "indices", {"weight": (9, 4)}, {}, 9),
    (MS + "RotaryEmbedding", "position_ids", {"cos_cache": (50, 4)}, {}, 50),
    (MS + "MRotaryEmbedding", "position_ids", {"cos_cache": (50, 4)}, {}, 50),
    (MS + "RMSNormRotary", "position_ids", {"cosine": (50, 4)}, {}, 50),
    (MS + "GroupQueryAttention", "position_ids", {"cos_cache": (50, 4)}, {}, 50),
    (MS + "CropAndResize", "batch_indices", {"x": (3, 4, 8, 8)}, {}, 3),
    (MS + "NGramRepeatBlock", "input_ids", {"scores": (2, 99)}, {}, 99),
    *((MS + key, "input_ids", {}, {"vocab_size": 77}, 77) for key in ("BeamSearch", "GreedySearch", "Sampling")),
]  # fmt: skip


@pytest.mark.parametrize(("key", "name", "inputs", "attributes", "count"), known(INDICES))
def test_valid_indices(key: str, name: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> None:
    others = dict.fromkeys(INPUTS[key], (97, 89, 83))
    node = node_of(key, {**others, **inputs}, attributes, (4, 3) if key == "OneHot" else (1, 1, 3, 4))
    assert role(key, name).count_indices(node) == count


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ((2, 3), Tensor("b", "int64", (3,), True)),
        ((2, 1), Tensor("b", "int64", (1,), True)),
        ((2, 1), Tensor("b", "int64", (3,))),
    ],
    ids=["of several numbers", "with a single class", "with what is no constant"],
)
def test_a_comparison_that_is_no_one_hot_encoding(own: tuple[int, ...], other: Tensor) -> None:
    node = node_of("Equal", {"a": own, "b": other}, {})
    assert role("Equal", "a").count_indices(node) is None


IMAGE, CACHE = (1, 1, 4, 4), {"key": (2, 4, 32), "past_key": (2, 8, 16, 4)}
Numbers = dict[str, tuple[float, ...]]

# An operator, its inputs, attributes, its output; the numbers that its inputs hold.
NUMBERS: list[tuple[Any, ...]] = [
    ("Dropout", {}, {}, None, {"ratio": (0.5,), "training_mode": (0,)}),
    ("BitShift", {}, {}, None, {"y": (1,)}),
    ("CumSum", {}, {}, None, {"axis": (0,)}),
    ("CumProd", {}, {}, None, {"axis": (0,)}),
    ("Trilu", {}, {}, None, {"k": (0,)}),
    *((key, {"x": (7, 2, 5)}, {}, None, {"sequence_lens": (7,)})
      for key in (*sorted(RECURRENT), MS + "AttnLSTM", MS + "DynamicQuantizeLSTM")),
    ("LSTM", {"x": (7, 2, 5)}, {"layout": 1}, None, {"sequence_lens": (2,)}),
    ("ReverseSequence", {"input": (7, 2)}, {}, None, {"sequence_lens": (7,)}),
    ("ReverseSequence", {"input": (7, 2)}, {"time_axis": 1}, None, {"sequence_lens": (2,)}),
    *((key, {"data": (2, 3, 4), "axes": (2,)}, {}, None, {"axes": (0, 1)})
      for key in (*sorted(REDUCTIONS), "Unsqueeze") if "axes" in INPUTS[key]),
    ("Squeeze", {"data": (1, 3, 1, 1), "axes": (2,)}, {}, None, {"axes": (0, 2)}),
    ("TopK", {"x": (2, 9)}, {}, None, {"k": (9,)}),
    ("TopK", {"x": (2, 9)}, {"axis": 0}, None, {"k": (2,)}),
    ("OneHot", {"depth": ones(6)}, {}, None, {"depth": (6,), "values": (0, 1)}),
    ("OneHot", {"depth": (1,)}, {}, (2, 3, 11), {"depth": (11,)}),
    ("MaxUnpool", {"x": (1, 1, 2, 2)}, {}, IMAGE, {"output_shape": IMAGE}),
    ("Reshape", {"data": (2, 3, 4), "shape": (2,)}, {}, None, {"shape": (1, 24)}),
    ("Reshape", {"data": (2, 3, 4), "shape": (3,)}, {}, None, {"shape": (2, 3, 4)}),
    ("Reshape", {"data": (2, 3, 4), "shape": (2,)}, {}, (6, 4), {"shape": (6, 4)}),
    ("Expand", {"input": (3,), "shape": (2,)}, {}, (5, 3), {"shape": (5, 3)}),
    ("Expand", {"input": (3,), "shape": (2,)}, {}, None, {"shape": (1,)}),
    ("ConstantOfShape", {"input": (2,)}, {}, (5, 3), {"input": (5, 3)}),
    ("ConstantOfShape", {"input": (2,)}, {}, None, {"input": (1,)}),
    ("Tile", {}, {}, None, {"repeats": (1,)}),
    ("Pad", {"axes": (2,)}, {}, None, {"pads": (0,), "axes": (0, 1)}),
    # Before opset 11 scales were the second input.
    ("Resize", {"x": IMAGE, "roi": (4,)}, {}, (1, 1, 8, 12), {"roi": (1, 1, 2, 3)}),
    ("Resize", {"x": IMAGE, "sizes": (4,)}, {}, (1, 1, 8, 12),
     {"roi": (0, 0, 0, 0, 1, 1, 1, 1), "scales": (1, 1, 2, 3), "sizes": (1, 1, 8, 12)}),
    ("Resize", {"x": IMAGE, "sizes": (2,)}, {"axes": (2, 3)}, (1, 1, 8, 12),
     {"roi": (0, 0, 1, 1), "scales": (2, 3), "sizes": (8, 12)}),
    ("Resize", {"x": IMAGE, "sizes": (4,)}, {}, None, {"scales": (1,)}),
    ("Upsample", {"x": IMAGE, "scales": (4,)}, {}, (1, 1, 8, 12), {"scales": (1, 1, 2, 3)}),
    ("Slice", {"data": (2, 9, 3), "axes": (2,)}, {}, None, {"starts": (0,), "ends": (9,), "axes": (0, 1), "steps": (1,)}),
    ("Split", {"input": (10, 4), "split": (3,)}, {}, None, {"split": (4, 3, 3)}),
    ("Split", {"input": (10, 4), "split": (2,)}, {"axis": 1}, None, {"split": (2, 2)}),
    ("SplitToSequence", {"input": (10, 4), "split": ()}, {}, None, {"split": (1,)}),
    ("Range", {}, {}, (25,), {"start": (0,), "limit": (25,), "delta": (1,)}),
    ("Range", {}, {}, None, {"limit": (16,)}),
    (MS + "Range", {}, {}, None, {"start": (0,), "limit": (16,), "delta": (1,)}),
    ("CenterCropPad", {"input_data": (9, 9)}, {}, (8, 6), {"shape": (8, 6)}),
    ("CenterCropPad", {"input_data": (9, 7)}, {"axes": (1,)}, None, {"shape": (7,)}),
    # N × C × height × width, or with a depth
    ("AffineGrid", {"theta": (3, 2, 3)}, {}, None, {"size": (3, 1, 8, 8)}),
    ("AffineGrid", {"theta": (5, 3, 4)}, {}, None, {"size": (5, 1, 8, 8, 8)}),
    ("NonMaxSuppression", {"boxes": (2, 50, 4)}, {}, None,
     {"max_output_boxes_per_class": (50,), "iou_threshold": (0.5,), "score_threshold": (0,)}),
    ("Attention", {"k": (2, 8, 9, 16)}, {}, None, {"nonpad_kv_seqlen": (9,)}),
    *((key, {}, {}, (64,), {"size": (64,)}) for key in sorted(WINDOWS)),
    ("DFT", {"input": (3, 128, 1)}, {}, None, {"dft_length": (128,), "axis": (-2,)}),
    ("DFT", {"input": (3, 128, 1)}, {"axis": 0}, None, {"dft_length": (3,)}),
    ("STFT", {"signal": (1, 200, 1), "window": (32,)}, {}, None, {"frame_step": (8,), "frame_length": (32,)}),
    ("STFT", {"signal": (1, 200, 1)}, {}, None, {"frame_length": (16,)}),
    ("MelWeightMatrix", {}, {}, None, {"num_mel_bins": (8,), "dft_length": (16,), "sample_rate": (16000,),
                                       "lower_edge_hertz": (0,), "upper_edge_hertz": (8000,)}),
    # A mask of one dim has lengths.
    *((MS + key, {x: (2, 10, 8), name: dims}, {}, None, {name: numbers})
      for key, x, name in (("Attention", "input", "mask_index"), ("QAttention", "input", "mask_index"),
                           ("MultiHeadAttention", "query", "key_padding_mask"))
      for dims, numbers in (((2,), (10,)), ((2, 10), (1,)))),
    (MS + "EmbedLayerNormalization", {}, {}, None, {"mask": (1,)}),
    (MS + "QEmbedLayerNormalization", {}, {}, None, {"mask": (1,)}),
    # 16 positions in the cache and 4 new ones; seqlens_k is one less. A query may hold keys and values, too.
    (MS + "GroupQueryAttention", CACHE, {}, None, {"seqlens_k": (19,), "total_sequence_length": (20,)}),
    (MS + "GroupQueryAttention", {"query": (2, 5, 96)}, {}, None, {"seqlens_k": (4,), "total_sequence_length": (5,)}),
    (MS + "Trilu", {}, {}, None, {"k": (0,)}),
    (MS + "Pad", {}, {}, None, {"pads": (0,)}),
    (MS + "ExpandDims", {}, {}, None, {"axis": (0,)}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "inputs", "attributes", "out", "numbers"), known(NUMBERS))
def test_numbers(key: str, inputs: Inputs, attributes: dict[str, Any], out: tuple[int, ...] | None, numbers: Numbers) -> None:
    node = node_of(key, inputs, attributes, out)
    assert {name: role(key, name).find_numbers(node) for name in numbers} == numbers


def test_each_operator_with_indices_or_numbers_has_a_row() -> None:
    rows = {(key, name) for key, name, *_ in INDICES} | {(key, name) for key, *_, numbers in NUMBERS for name in numbers}
    lacking = {
        (key, INPUTS[key][place])
        for key, roles in ROLES.items()
        for place, each in roles.items()
        if (each.limit or each.numbers) and key in INPUTS and not key.startswith("com.ms.internal.nhwc")
    }
    assert lacking - rows == set()


KEPT = {"K": 64, "N": 10, "Nq": 6, "Nkv": 5}

# An operator, its weights, their dims, attributes; how many products are summed up.
FAN_INS: list[tuple[Any, ...]] = [
    ("Conv", "w", (4, 3, 5, 5), {}, 3 * 5 * 5),
    ("ConvInteger", "w", (4, 3, 5, 5), {}, 3 * 5 * 5),
    ("DeformConv", "w", (4, 3, 5, 5), {}, 3 * 5 * 5),
    ("QLinearConv", "w", (4, 3, 5, 5), {}, 3 * 5 * 5),
    # Of a kernel of 3 × 3 each output sees every second row and column, of one group.
    *((key, "w", (6, 4, 3, 3), {"strides": (2, 2), "group": 2}, 6 * 9 / 4 / 2)
      for key in ("ConvTranspose", MS + "ConvTransposeWithDynamicPads", "com.ms.internal.nhwc.QLinearConvTranspose")),
    *((key, "a", (2, 3), {}, 3) for key in ("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm")),
    *((key, "b", (3, 5), {}, 3) for key in ("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm", MS + "QGemm")),
    ("MatMul", "b", (3,), {}, 3),
    *((key, "a", (3, 2), {"transA": 1}, 3) for key in ("Gemm", MS + "FusedGemm")),
    *((key, "b", (5, 3), {"transB": 1}, 3) for key in ("Gemm", MS + "FusedGemm", MS + "FusedMatMul", MS + "QGemm")),
    *((key, name, (1, 20, 7), {}, 7) for key in sorted(RECURRENT) for name in ("w", "r")),
    *((MS + "DynamicQuantizeLSTM", name, (1, 7, 20), {}, 7) for name in ("w", "r")),
    ("Einsum", "inputs", (2, 3), {"equation": "ij,jk->ik"}, 3),
    (MS + "Attention", "weights", (8, 24), {}, 8),
    (MS + "QAttention", "weight", (8, 24), {}, 8),
    *((MS + "MoE", f"fc{fc}_experts_weights", (4, 8, 16), {}, 8) for fc in (1, 2, 3)),
    # Two weights share 8 bits.
    *((MS + "QMoE", f"fc{fc}_experts_weights", (4, 16, 8), {}, 16) for fc in (1, 2, 3)),
    (MS + "QMoE", "fc1_experts_weights", (4, 16, 8), {"expert_weight_bits": 8}, 8),
    *((MS + key, name, (10, 2, 16), KEPT, 64)
      for key, names in (("MatMulNBits", "b"), ("MatMulBnb4", "b"), ("MatMulNBitsMlp", "gate_b up_b"),
                         ("MatMulNBitsQkv", "q_b k_b v_b"), ("MatMulNBitsQLoRA", "w lora_a"))
      for name in names.split()),
]  # fmt: skip


@pytest.mark.parametrize(("key", "name", "dims", "attributes", "terms"), known(FAN_INS))
def test_fan_in(key: str, name: str, dims: tuple[int, ...], attributes: dict[str, Any], terms: float) -> None:
    fan_in = role(key, name).fan_in
    assert fan_in is not None
    assert fan_in(node_of(key, {name: dims}, attributes), dims) == terms


@pytest.mark.parametrize(
    ("place", "dims", "equation", "terms"),
    [
        (0, (2, 3), "ij,jk->ik", 3),
        (1, (3, 4), "ij, jk -> ik", 3),
        (1, (7, 3, 4), "...ij,...jk->...ik", 3),
        (2, (4, 5), "ab,bc,cd->ad", 4),
        (3, (4, 6), "a,b,c,de->abcd", 6),
    ],
)
def test_fan_in_of_an_einsum(place: int, dims: tuple[int, ...], equation: str, terms: int) -> None:
    """The labels that the output lacks; four operands have rows."""
    fan_in = ROLES["Einsum"][place].fan_in
    assert fan_in is not None
    assert fan_in(node_of("Einsum", {}, {"equation": equation}), dims) == terms


CODES = Tensor("w", "uint8", (4, 16, 8))

# An operator, its weights, its inputs, attributes; how many weights there are.
PACKED: list[tuple[Any, ...]] = [
    *((MS + key, name, {name: (10, 2, 16)}, KEPT, 64 * columns)
      for key, name, columns in (("MatMulNBits", "b", 10), ("MatMulBnb4", "b", 10), ("MatMulPacked", "b", 10),
                                 ("MatMulNBitsMlp", "gate_b", 10), ("MatMulNBitsMlp", "up_b", 10),
                                 ("MatMulNBitsQLoRA", "w", 10),
                                 ("MatMulNBitsQkv", "q_b", 6), ("MatMulNBitsQkv", "k_b", 5), ("MatMulNBitsQkv", "v_b", 5))),
    # An adapter of rank 3.
    (MS + "MatMulNBitsQLoRA", "lora_a", {"lora_a": (3, 2, 16), "lora_a_scales": (3, 2)}, KEPT, 3 * 64),
    (MS + "MatMulNBitsQLoRA", "lora_b", {"lora_b": (10, 1, 2), "lora_a_scales": (3, 2)}, KEPT, 10 * 3),
    (MS + "MatMulNBitsQLoRA", "lora_b", {"lora_b": (0,), "lora_a_scales": (3, 2)}, KEPT, 0),
    (MS + "MatMulFpQ4", "b", {"b": (700,), "b_shape": ones(64, 20)}, {}, 64 * 20),
    (MS + "MatMulFpQ4", "b", {"b": (700,), "b_shape": (2,)}, {}, 2 * 700),
    (MS + "MatMulBlockQuantizedFp4Weight", "b", {"b": (10, 32)}, {}, 10 * 64),
    *((MS + "MoEPacked", name, {"gate_experts_weights": (4, 6, 9), "up_experts_weights": (4, 6, 9),
                                "down_experts_weights": (4, 8, 9)}, {}, 4 * 6 * 8)
      for name in ("gate_experts_weights", "up_experts_weights", "down_experts_weights")),
    *((MS + "QMoE", f"fc{fc}_experts_weights", {f"fc{fc}_experts_weights": CODES}, {}, 4 * 16 * 8 * 2) for fc in (1, 2, 3)),
    *((MS + "QMoE", f"fc{fc}_experts_weights", {f"fc{fc}_experts_weights": CODES},
       {"expert_weight_bits": 4, f"fc{fc}_expert_weight_bits": 8}, 4 * 16 * 8) for fc in (1, 2, 3)),
    (MS + "QMoE", "fc1_experts_weights", {"fc1_experts_weights": CODES}, {"quant_type": "fp4", "expert_weight_bits": 8}, 1024),
    (MS + "QMoE", "fc1_experts_weights", {"fc1_experts_weights": (4, 16, 8)}, {}, 4 * 16 * 8),
    (MS + "GatherBlockQuantized", "data", {"data": CODES}, {}, 4 * 16 * 8 * 2),
    (MS + "GatherBlockQuantized", "data", {"data": CODES}, {"bits": 8}, 4 * 16 * 8),
    (MS + "GatherBlockQuantized", "data", {"data": Tensor("w", "int4", (9, 16))}, {}, 9 * 16),
    (MS + "GatherPacked", "data", {"data": (9, 144)}, {"K": 256}, 9 * 256),
]  # fmt: skip


@pytest.mark.parametrize(("key", "name", "inputs", "attributes", "count"), known(PACKED))
def test_packed_weights(key: str, name: str, inputs: Inputs, attributes: dict[str, Any], count: int) -> None:
    node, packed = node_of(key, inputs, attributes), role(key, name).packed
    assert packed is not None
    assert packed(node, node.required(INPUTS[key].index(name))) == count


def test_each_operator_with_weights_has_a_row() -> None:
    """But for those that share their rule with another one."""
    rows = {role(key, name) for key, name, *_ in known([*FAN_INS, *PACKED])} | set(ROLES["Einsum"].values())
    rules = {rule for each in rows for rule in (each.fan_in, each.packed)}
    used = {
        rule for key, roles in ROLES.items() if key in INPUTS for each in roles.values() for rule in (each.fan_in, each.packed)
    }
    assert used - rules <= {None}


@pytest.mark.parametrize(("axis", "size"), [(-3, None), (-2, 5), (-1, None), (0, 5), (1, None), (2, None)])
def test_a_dim_that_is_open_or_missing_is_unknown(axis: int, size: int | None) -> None:
    tensor = Tensor("t", "float32", (5, None))
    if size is None:
        with pytest.raises(UnknownShape):
            dim(tensor, axis)
    else:
        assert dim(tensor, axis) == size
