"""The shape rules of onnxruntime's operators against onnxruntime itself: each node is run, or else inferred."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, NotImplemented, get_all_operator_schema

import onnxcost
from onnxcost.formulas import FORMULAS, Formula
from onnxcost.graph import Tensor
from tests.formulas import contrib
from tests.formulas.contrib import MS

Row = tuple[str, list[Any], int, dict[str, Any]]
DEFINED = {schema.name for schema in get_all_operator_schema() if schema.domain == "com.microsoft"}


def f(*dims: int) -> np.ndarray:
    return np.linspace(0.1, 0.9, max(1, int(np.prod(dims))), dtype=np.float32)[: int(np.prod(dims))].reshape(dims)


def u8(*dims: int) -> np.ndarray:
    return (np.arange(int(np.prod(dims))) % 7 + 1).astype(np.uint8).reshape(dims)


def i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def scalar(value: Any, dtype: type = np.float32) -> np.ndarray:
    return np.array(value, dtype)


S, Z = scalar(0.1), scalar(3, np.uint8)
CONV: dict[str, Any] = {"pads": [1, 0, 1, 2], "strides": [2, 1], "dilations": [1, 2]}

# operator, inputs (an array that is wrapped in a list is a stored constant), outputs, attributes
ROWS: list[Row] = [
    ("FusedConv", [f(2, 4, 9, 8), f(6, 2, 3, 3), f(6)], 1, {"activation": "Relu", "group": 2, **CONV}),
    ("FusedConv", [f(1, 3, 8, 8), f(5, 3, 3, 3)], 1, {"activation": "Sigmoid", "auto_pad": "SAME_UPPER", "strides": [3, 3]}),
    ("FusedConv", [f(1, 3, 8, 8), f(5, 3, 3, 3), f(5), f(1, 5, 6, 6)], 1, {"activation": "Relu", "auto_pad": "VALID"}),
    ("ConvTransposeWithDynamicPads", [f(1, 3, 5, 6), f(3, 2, 3, 3), [i64(1, 0, 1, 2)]], 1,
     {"strides": [2, 1], "output_padding": [1, 0]}),
    ("FusedGemm", [f(4, 3), f(5, 4), f(5)], 1, {"transA": 1, "transB": 1, "activation": "Relu"}),
    ("FusedMatMul", [f(2, 3, 4), f(2, 5, 4)], 1, {"transB": 1, "alpha": 0.5}),
    ("FusedMatMul", [f(2, 3, 4), f(2, 3, 5)], 1, {"transA": 1}),
    ("FusedMatMul", [f(3, 2, 4), f(2, 4, 5)], 1, {"transBatchA": 1}),
    ("FusedMatMul", [f(3, 2, 4), f(5, 2, 3)], 1, {"transBatchA": 1, "transA": 1, "transBatchB": 1, "transB": 1}),
    ("TransposeMatMul", [f(4), f(4, 5)], 1, {}),
    ("CausalConvWithState", [f(2, 4, 9), f(4, 1, 3), f(4)], 2, {"activation": "silu"}),
    ("CausalConvWithState", [f(2, 4, 9), f(4, 1, 3), None, f(2, 4, 2)], 2, {}),
    ("WordConvEmbedding", [np.array([[1, 2, 3, 4, 5]], np.int32), f(7, 1, 3, 6), f(7), f(9, 6)], 1, {}),
    ("Gelu", [f(2, 3)], 1, {}),
    ("FastGelu", [f(2, 3), f(3)], 1, {}),
    ("BiasGelu", [f(2, 3), f(3)], 1, {}),
    ("QuickGelu", [f(2, 3)], 1, {"alpha": 1.5}),
    ("ScaledSiLU", [f(2, 3)], 1, {}),
    ("GatedAdd", [f(2, 3), f(2, 3), f(2, 1)], 1, {}),
    ("SkipLayerNormalization", [f(2, 3, 4), f(2, 3, 4), f(4), f(4), f(4)], 4, {"skip": (1, 2)}),
    ("SkipSimplifiedLayerNormalization", [f(2, 3, 4), f(2, 3, 4), f(4)], 4, {"skip": (1, 2)}),
    ("EmbedLayerNormalization",
     [np.ones((2, 3), np.int32), np.ones((2, 3), np.int32), f(9, 4), f(8, 4), f(2, 4), f(4), f(4),
      np.ones((2, 3), np.int32)], 3, {}),
    ("BranchwiseRMSNorm", [f(2, 3, 8), f(8)], 1, {"num_branches": 2}),
    ("GatedRMSNorm", [f(2, 3, 8), f(4), f(2, 3, 8)], 1, {}),
    ("Attention", [f(2, 3, 8), f(8, 24), f(24)], 1, {"num_heads": 2}),
    ("Attention", [f(2, 3, 8), f(8, 24), f(24), None, f(2, 2, 2, 5, 4)], 2, {"num_heads": 2, "unidirectional": 1}),
    ("Attention", [f(2, 3, 8), f(8, 20), f(20)], 1, {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}),
    ("MultiHeadAttention", [f(2, 3, 8), f(2, 5, 8), f(2, 5, 6)], 1, {"num_heads": 2}),
    ("MultiHeadAttention", [f(2, 3, 8), f(2, 5, 8), f(2, 5, 8), f(24), None, None, f(2, 2, 4, 4), f(2, 2, 4, 4)], 3,
     {"num_heads": 2}),
    ("MultiHeadAttention", [f(2, 3, 8), f(2, 2, 5, 4), f(2, 2, 5, 4)], 1, {"num_heads": 2}),
    ("GroupQueryAttention", [f(1, 3, 32), f(1, 3, 16), f(1, 3, 16), None, None, i32(2), [scalar(3, np.int32)]], 3,
     {"num_heads": 4, "kv_num_heads": 2}),
    ("GroupQueryAttention", [f(1, 1, 64), None, None, f(1, 2, 5, 8), f(1, 2, 5, 8), i32(5), [scalar(6, np.int32)]], 3,
     {"num_heads": 4, "kv_num_heads": 2}),
    ("RotaryEmbedding", [f(2, 3, 8), i64(0), f(9, 2), f(9, 2)], 1, {}),
    ("LinearAttention", [f(1, 3, 8), f(1, 3, 8), f(1, 3, 12), None, f(1, 3, 2), f(1, 3, 2)], 2,
     {"q_num_heads": 2, "kv_num_heads": 2}),
    ("LinearAttentionGate", [f(1, 3, 2), f(2), f(2), f(1, 3, 2)], 2, {}),
    ("EngramGate", [f(1, 3, 2, 4), f(1, 3, 2, 4), f(1, 3, 4), f(2, 4), f(2, 4), f(2, 4)], 2, {}),
    ("HyperConnectionPreMix", [f(2, 3, 4), f(2, 3)], 1, {}),
    ("HyperConnectionPreMix", [f(2, 12), f(2, 3)], 1, {"num_branches": 3}),
    ("HyperConnectionPostMix", [f(2, 3, 4), f(2, 4), f(2, 3), f(2, 3, 3)], 1, {}),
    ("MoE", [f(5, 4), f(5, 3), f(3, 6, 4), None, f(3, 4, 6)], 1, {"k": 2, "activation_type": "relu"}),
    ("MoEGroupRouter", [f(2, 3, 8), f(8)], 1, {"top_k": 2, "n_group": 4, "topk_group": 2}),
    ("MoEGroupRouter", [f(6, 256), f(8), f(8, 256)], 3, {"top_k": 2, "skip": (0,)}),
    ("GatherPacked", [[u8(9, 144)], i64(1, 2, 3)], 1, {"packed_type": 2, "K": 256, "output_dtype": 1}),
    ("GatherPacked", [[u8(9, 210)], i64(1, 2)], 1, {"packed_type": 14, "K": 256, "output_dtype": 10}),
    ("MatMulNBits", [f(2, 3, 64), [u8(5, 2, 16)], [f(5, 2)]], 1, {"K": 64, "N": 5, "block_size": 32, "bits": 4}),
    ("MatMulBnb4", [f(2, 3, 64), [u8(160)], [f(10)]], 1, {"K": 64, "N": 5, "block_size": 32, "quant_type": 1}),
    ("GatherBlockQuantized", [[u8(9, 16)], i64(1, 2, 3), [f(9, 2)]], 1, {"block_size": 16, "bits": 4}),
    ("QLinearConv", [u8(1, 8, 8, 3), S, Z, [u8(5, 3, 3, 3)], S, Z, S, Z], 1, {"channels_last": 1}),
    ("QLinearAdd", [u8(2, 3), S, Z, u8(3), S, Z, S, Z], 1, {}),
    ("QLinearMul", [u8(2, 3), S, Z, u8(3), S, Z, S, Z], 1, {}),
    ("QLinearSigmoid", [u8(2, 3), [S], [Z], [S], [Z]], 1, {}),
    ("QLinearLeakyRelu", [u8(2, 3), [S], [Z], [S], [Z]], 1, {"alpha": 0.1}),
    ("QLinearSoftmax", [u8(2, 3), [S], [Z], [S], [Z]], 1, {"axis": -1, "opset": 13}),
    ("QLinearConcat", [S, Z, u8(2, 3), S, Z, u8(2, 4), S, Z], 1, {"axis": 1}),
    ("QLinearWhere", [np.array([True, False, True]), u8(2, 3), S, Z, u8(3), S, Z, S, Z], 1, {}),
    ("QLinearAveragePool", [u8(1, 3, 9, 8), S, Z, S, Z], 1, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ("QLinearGlobalAveragePool", [u8(1, 3, 9, 8), S, Z, S, Z], 1, {"channels_last": 0}),
    ("QLinearGlobalAveragePool", [u8(1, 9, 8, 3), S, Z, S, Z], 1, {"channels_last": 1}),
    ("QGemm", [u8(4, 3), S, Z, u8(5, 3), S, Z, None, S, Z], 1, {"transB": 1}),
    ("QGemm", [u8(4, 3), S, Z, u8(3, 5), S, Z], 1, {}),
    ("MatMulIntegerToFloat", [u8(2, 3), u8(3, 4), S, S], 1, {}),
    ("DynamicQuantizeMatMul", [f(2, 3), u8(3, 4), S], 1, {}),
    ("DynamicQuantizeLSTM",
     [f(5, 2, 3), [u8(1, 3, 16)], [u8(1, 4, 16)], None, None, None, None, None, [f(1)], [u8(1)], [f(1)], [u8(1)]], 3,
     {"hidden_size": 4}),
    ("MatMulInteger16", [np.ones((2, 3), np.int16), np.ones((3, 4), np.int16)], 1, {}),
    ("QuantizeLinear", [f(2, 3), S, Z], 1, {}),
    ("DequantizeLinear", [u8(2, 3), S, Z], 1, {}),
    ("QAttention", [u8(2, 3, 8), [u8(8, 24)], [f(24)], [S], [S], None, [Z], [Z]], 1, {"num_heads": 2}),
    ("CDist", [f(3, 2), f(5, 2)], 1, {"metric": "euclidean"}),
    ("Inverse", [f(2, 3, 3) + np.eye(3, dtype=np.float32)], 1, {}),
    ("CropAndResize", [f(1, 3, 8, 8), f(2, 4), i32(0, 0), [i32(4, 5)]], 1, {}),
    ("GridSample", [f(1, 3, 8, 8), f(1, 4, 5, 2)], 1, {}),
    ("UnfoldTensor", [f(2, 9)], 1, {"size": 4, "step": 2}),
    ("MaxpoolWithMask", [f(1, 3, 8, 8), np.ones((1, 3, 8, 8), np.int32)], 1, {"kernel_shape": [3, 3], "strides": [2, 2]}),
    ("NhwcMaxPool", [u8(1, 9, 8, 3)], 1, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    ("Trilu", [f(2, 3)], 1, {}),
    ("Pad", [f(2, 3), [i64(0, 1, 2, 0)]], 1, {}),
    ("ExpandDims", [f(2, 3), [i32(-1)[0]]], 1, {}),
    ("Range", [[scalar(1.0)], [scalar(6.5)], [scalar(2.0)]], 1, {}),
    ("GatherND", [f(2, 3, 4), np.array([[0, 1], [1, 1], [1, 2]], np.int64)], 1, {}),
    ("SampleOp", [f(2, 3)], 1, {}),
    ("MurmurHash3", [i32(1, 2, 3)], 1, {}),
    ("NGramHashMapping", [np.ones((1, 5), np.int64), i64(3, 5, 7), i64(11, 13, 17, 19)], 2,
     {"pad_id": 0, "n_head_per_ngram": 2, "max_ngram_size": 3}),
    ("NGramRepeatBlock", [np.ones((2, 5), np.int64), f(2, 9)], 1, {"ngram_size": 2}),
    ("AttnLSTM", [f(5, 1, 3), f(1, 16, 9), f(1, 16, 4), None, None, None, None, None, f(1, 4, 2), f(1, 6, 2), f(1, 2),
              f(1, 7, 6)], 3,
     {"hidden_size": 4}),
]  # fmt: skip


def model_of(row: Row) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    op_type, inputs, outputs, attributes = row
    attributes = dict(attributes)
    skipped = attributes.pop("skip", ())
    names = [f"x{index}" if each is not None else "" for index, each in enumerate(inputs)]
    made = ["" if index in skipped else f"y{index}" for index in range(outputs)]
    node = helper.make_node(op_type, names, made, domain="com.microsoft", **attributes)
    stored = {name: np.asarray(each[0]) for name, each in zip(names, inputs, strict=True) if isinstance(each, list)}
    fed = {name: each for name, each in zip(names, inputs, strict=True) if each is not None and not isinstance(each, list)}
    infos = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in fed.items()]
    results = [helper.make_empty_tensor_value_info(name) for name in made if name]
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph([node], "one", infos, results, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9), fed


def label(row: Row) -> str:
    return f"{row[0]} {' '.join(f'{k}={v}' for k, v in row[3].items())}"


def session_of(model: onnx.ModelProto, **config: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    for key, value in config.items():
        options.add_session_config_entry(f"session.{key}", value)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def outputs_of(model: onnx.ModelProto) -> list[Tensor]:
    """The outputs as onnxcost types them; every node is counted."""
    report = onnxcost.estimate(model)
    assert [cost.reason for cost in report.uncounted] == []
    return [tensor for node in report.graph.nodes for tensor in node.outputs if tensor]


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_shapes_and_types_are_those_of_a_run(row: Row) -> None:
    if row[0] not in DEFINED:
        pytest.skip("this onnxruntime lacks the operator")
    model, feeds = model_of(row)
    session = session_of(model)
    names = [output.name for output in session.get_outputs()]
    truth = {name: (str(array.dtype), array.shape) for name, array in zip(names, session.run(names, feeds), strict=True)}
    assert {tensor.name: (tensor.dtype, tensor.shape) for tensor in outputs_of(model)} == truth


HALF, BRAIN, FLOAT, BYTE = TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.UINT8
LONG, INT = TensorProto.INT64, TensorProto.INT32
STREAMS = [(FLOAT, 2, 3, 12), (FLOAT, 12), (FLOAT, 12, 5), (FLOAT, 5, 12), (FLOAT, 12, 3)]
ROTARY = [(FLOAT, 8), (LONG, 1), (FLOAT, 99, 2), (FLOAT, 99, 2)]

# operator, types and dims of the inputs, outputs, attributes: what runs elsewhere than on the CPU
INFERRED: list[Row] = [
    ("SwiGLU", [(FLOAT, 2, 6)], 1, {}),
    ("SwiGLU", [(HALF, 2, 6), (HALF, 2, 6)], 1, {}),
    ("RouterGateUpProj", [(HALF, 2, 3, 4), (HALF, 4, 11)], 2, {"router_size": 5}),
    ("MatMulPacked", [(BRAIN, 2, 3, 64), (BYTE, 5, 36)], 1, {"packed_type": 2, "K": 64, "N": 5}),
    ("GatherPacked", [(BYTE, 9, 144), (LONG, 2, 3)], 1, {"packed_type": 2, "K": 256}),
    ("MoEPacked", [(HALF, 2, 3, 256), (FLOAT, 6, 8), (BYTE, 8, 512, 66), None, (BYTE, 8, 256, 132)], 1,
     {"gate_type": 16, "down_type": 16, "activation_type": "relu2"}),
    ("MatMulNBitsQLoRA", [(FLOAT, 2, 3, 64), (BYTE, 5, 2, 16), (FLOAT, 5, 2), (BYTE, 3, 2, 32), (FLOAT, 3, 2), (BYTE, 5, 1, 32),
                          (FLOAT, 5, 1)], 1, {"K": 64, "N": 5}),
    ("RMSNormRotary", [(BRAIN, 2, 3, 4, 16), *ROTARY], 2, {"rotary_embedding_dim": 4, "input_width": 8}),
    ("RMSNormRotary", [(HALF, 2, 3, 4, 8), *ROTARY], 2, {"rotary_embedding_dim": 4, "output_fp16": 1, "flatten_batch": 1}),
    ("HyperConnectionLowRankMix", STREAMS, 3, {"num_branches": 3}),
    ("HyperConnectionLowRankMix", [*STREAMS, (FLOAT, 2, 3, 4), (FLOAT, 2, 3, 3)], 2, {"num_branches": 3}),
    ("Mamba2Verify", [(BRAIN, 5, 514), (BRAIN, 2, 384, 3), (FLOAT, 2, 2, 128, 64), (BRAIN, 384, 4), (BRAIN, 384), (FLOAT, 2),
                      (FLOAT, 2), (FLOAT, 2), (FLOAT, 128), (INT, 1)], 5, {"n_groups": 1, "heads": 2}),
    ("ConvStateReplay", [(HALF, 9), (HALF, 10), (HALF, 11), (LONG, 8)], 1, {}),
    ("SpeculativePrefixCommit", [(LONG, 2, 4), (LONG, 2, 4), (INT, 3), (LONG, 2, 16), (LONG, 2, 2), (LONG, 2, 8), (LONG, 2)], 3,
     {"head_rows": 4}),
    ("SpeculativePrefixCommit", [(LONG, 4), (LONG, 4), (INT, 3), (LONG, 16), (LONG, 2), (LONG, 8), (LONG, 2)], 3,
     {"head_rows": 4}),
]  # fmt: skip


TYPES = {"float32": FLOAT, "float16": HALF, "bfloat16": BRAIN, "int64": LONG, "int32": INT}


def declaring(row: Row, outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
    """One node, whose outputs the model declares so."""
    op_type, inputs, _, attributes = row
    infos = [helper.make_tensor_value_info(f"x{i}", each[0], each[1:]) for i, each in enumerate(inputs) if each]
    names = [f"x{i}" if each else "" for i, each in enumerate(inputs)]
    node = helper.make_node(op_type, names, [output.name for output in outputs], domain="com.microsoft", **attributes)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(helper.make_graph([node], "one", infos, outputs), opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize("row", INFERRED, ids=label)
def test_shapes_and_types_are_those_that_are_inferred(row: Row) -> None:
    """Told to be strict, onnxruntime refuses a model that declares others than it infers, before it looks for a kernel."""
    if row[0] not in DEFINED:
        pytest.skip("this onnxruntime lacks the operator")
    found = outputs_of(declaring(row, [helper.make_empty_tensor_value_info(f"y{i}") for i in range(row[2])]))
    infos = [helper.make_tensor_value_info(tensor.name, TYPES[tensor.dtype], tensor.shape) for tensor in found]
    with suppress(NotImplemented):
        session_of(declaring(row, infos), strict_shape_type_inference="1")
    for index, tensor in enumerate(found):
        first, *others = tensor.shape
        wrong = helper.make_tensor_value_info(tensor.name, TYPES[tensor.dtype], (first + 1, *others))
        with pytest.raises(Fail, match=r"ShapeInferenceError.*differ"):
            session_of(declaring(row, [*infos[:index], wrong, *infos[index + 1 :]]), strict_shape_type_inference="1")


OTHERS = ("test_shapes", "test_all", "test_movement", "test_nhwc", "test_optional_inputs")
ROWS_BY_HAND = [
    row
    for module in iter_modules(contrib.__path__)
    if module.name not in OTHERS
    for row in getattr(import_module(f"{contrib.__name__}.{module.name}"), "BY_HAND", ())
]
DATA = {"RelativePositionBias", "CropAndResize", "Unique", "DynamicTimeWarping", "RemovePadding", "Tokenizer"}
"""Their shapes are in the data."""
DIMS_BY_HAND: list[contrib.Row] = [
    # 11 channels, last, are padded to 16
    (f"{MS}nchwc.ReorderInput", [(1, 6, 5, 11)], [(1, 16, 6, 5)], {"channels_last": 1}, None),
    (f"{MS}nchwc.ReorderOutput", [(1, 16, 6, 5)], [(1, 6, 5, 11)], {"channels": 11, "channels_last": 1}, None),
    (f"{MS}VarlenCausalConvWithState", [(9, 4), (4, 1, 3), (3,), (4,), (2, 4, 2)], [(9, 4), (2, 4, 2), (2, 5, 4)],
     {"state_update_capacity": 5}, None),
    # a state of (3 − 1)·2 positions; last of channels last
    (f"{MS}CausalConvWithState", [(2, 4, 9), (4, 1, 3)], [(2, 4, 9), (2, 4, 4)], {"dilation": 2}, None),
    (f"{MS}CausalConvWithState", [(2, 9, 4), (4, 1, 3)], [(2, 9, 4), (2, 2, 4)], {"channels_last": 1}, None),
    (f"{MS}CausalConvWithState", [(2, 4, 9), (4, 1, 3)], [(2, 4, 9), (6, 2, 4, 2)], {"state_window": 6}, None),
    # V of another width than X; a cache of 2 heads of 6 with 3 new keys
    (f"{MS}QOrderedAttention", [u8(2, 3, 8), *[None] * 4, u8(8, 12)], [(2, 3, 12)], {"num_heads": 2}, None),
    (f"{MS}QAttention", [u8(2, 3, 8), u8(8, 36), (36,), (), (), None, u8(), u8(), (2, 2, 2, 5, 6)],
     [(2, 3, 12), (2, 2, 2, 8, 6)], {"num_heads": 2}, None),
    (f"{MS}Attention", [(2, 3, 8), (8, 20), None, None, (2, 2, 2, 5, 4)], [(2, 3, 4), (2, 2, 2, 8, 4)],
     {"num_heads": 2, "qkv_hidden_sizes": (8, 8, 4)}, None),
    # a shared buffer of 9 positions stays as long
    (f"{MS}Attention", [(2, 3, 8), (8, 24), None, None, (2, 2, 2, 9, 4), None, i32(5)], [(2, 3, 8), (2, 2, 2, 9, 4)],
     {"num_heads": 2}, None),
    # 5 captured updates of 2 gates, 2 keys of 4 and 2 values of 6; none where the attribute is absent
    *((f"{MS}GatedDeltaNet", [(3, 2, 4), (3, 2, 4), (3, 2, 6), None, None, None, (1, 2, 6, 4)],
       [(3, 2, 6), (1, 2, 6, 4), (1, count * (2 + 8 + 12))], {"state_update_capacity": count} if count else {}, None)
      for count in (0, 5)),
    # A cache of the window's 5 positions stays as long, however many keys there are.
    (f"{MS}GroupQueryAttention", [(1, 1, 64), None, None, (1, 2, 5, 8), (1, 2, 5, 8), i32(8), i32(9)],
     [(1, 1, 32), (1, 2, 5, 8), (1, 2, 5, 8), (1, 4, 1, 5)],
     {"num_heads": 4, "kv_num_heads": 2, "sliding_window_cache": 1}, None),
    (f"{MS}GroupQueryAttention", [(1, 1, 64), None, None, (1, 2, 5, 8), (1, 2, 5, 8), i32(8), i32(9)],
     [(1, 1, 32), (1, 2, 9, 8), (1, 2, 9, 8), (1, 4, 1, 9)], {"num_heads": 4, "kv_num_heads": 2}, None),
    # 5 tokens of 3 sequences: 2 earlier ids of each and their segments, 7 captured states of each
    (f"{MS}VarlenNGramHashMapping", [(5,), (3,), (4,), (4,), None, (4,)], [(5, 4), (3, 2), (3, 2), (3, 7, 2)],
     {"max_ngram_size": 3, "n_head_per_ngram": 2, "state_update_capacity": 7}, None),
    (f"{MS}NGramHashMapping", [(2, 5), (3,), (4,)], [(2, 5, 4), (2, 2)], {"max_ngram_size": 3, "n_head_per_ngram": 2}, None),
]  # fmt: skip


@pytest.mark.parametrize(
    "row", [row for row in ROWS_BY_HAND if row[0].rpartition(".")[2] not in DATA] + DIMS_BY_HAND, ids=label
)
def test_shapes_are_those_of_the_rows_by_hand(row: contrib.Row) -> None:
    formula, node = FORMULAS[row[0]], contrib.node_of(row)
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    made = [each and each[1] for each in formula.shapes(node)]
    assert [each for each, output in zip(made, node.outputs, strict=False) if output] == [
        each.dims for each in node.outputs if each
    ]


@pytest.mark.parametrize(
    ("key", "inputs", "attribute", "codes"),
    [
        ("GemmFloat8", [(2, 3), (3, 4)], "dtype", ("FLOAT", "FLOAT16", "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E5M2")),
        ("DequantizeWithOrder", [u8(2, 3), ()], "to", ("FLOAT", "FLOAT16")),
        ("GatherPacked", [u8(9, 144), (3,)], "output_dtype", ("FLOAT", "FLOAT16", "BFLOAT16")),
    ],
)
def test_codes_of_types_are_those_of_onnx(key: str, inputs: list[Any], attribute: str, codes: tuple[str, ...]) -> None:
    formula = FORMULAS[MS + key]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    for code in codes:
        row = (MS + key, inputs, [], {attribute: TensorProto.DataType.Value(code), "K": 256}, None)
        made = next(iter(formula.shapes(contrib.node_of(row))))
        assert made is not None
        assert made[0] == code.lower().replace("float", "float32" if code == "FLOAT" else "float")
