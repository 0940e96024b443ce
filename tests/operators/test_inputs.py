"""The roles of inputs, against the names that the schemas of onnx and onnxruntime give them."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

import onnxruntime
import pytest

from onnxcost.formulas import FORMULAS, UNCOUNTABLE
from onnxcost.graph import Node, Tensor
from onnxcost.operators.inputs import DATA, OUTPUT, ROLES, InputRole, role_of
from tests.operators import INPUTS, OUTPUTS

# The names of inputs that say what an input is for, whatever the operator.
NAMES: Mapping[str, str] = {
    "gain": "gamma(_quant)?|[qk]_norm_weight|norm_scale",
    "setting": "min|max|constant_value|crop_size|b_shape|g_idx|fc._(global|act|act_block)_scale|scale_.*_(gemm|softmax)",
    "zero point": ".*zero_points?",
    "scale": ".*_scales?|scales?|scale_[abcxy]|scale[aby]|scale_input|scale_[qkv]_weight|absmax",
    "shift": "beta(_quant)?",
    "bias": "(.*_)?bias",
    "mean": "(input_)?mean",
    "variance": "(input_)?var",
    "slope": "slope",
    "table": "(word|position|segment)_embedding(_quant)?",
    "weight": "[wrp]|(.*_)?weights?|([qkv]|gate|up)_b|lora_[ab]",
    "positions": "(cos|sin)_cache|cosine|sine",
    "index": "(.*_)?indices|(input|segment|position)_ids|position|target|labels|i",
    "buffer": "attn_mask|grid|window|initial_[hc]",
    "number": "axis|sequence_lens|seqlens_k|total_sequence_length|nonpad_kv_seqlen|ratio|training_mode|mask|mask_index"
    "|key_padding_mask|k|values",
    "shape": "axes|shape|size|sizes|output_shape|split|pads|repeats|starts|ends|steps|start|limit|delta|depth|roi|frame_.*"
    "|dft_length|num_mel_bins|sample_rate|.*_edge_hertz|max_output_boxes_per_class|.*_threshold",
}  # fmt: skip

# By operator: what its letters stand for, and names that mean something else there.
_NORMALIZATION = {"scale": "gain", "b": "shift", "bias": "shift"}
_PRODUCT = {"a": "weight", "b": "weight", "c": "bias"}
_COMPARISON = {"a": "compared", "b": "compared"}
_BIASED = {"b": "bias"}
OWN_NAMES: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(
        [
            "BatchNormalization",
            "InstanceNormalization",
            "LayerNormalization",
            "GroupNormalization",
            "SkipGroupNorm",
            "RMSNormalization",
            "SimplifiedLayerNormalization",
            "SkipLayerNormalization",
            "SkipSimplifiedLayerNormalization",
            "QOrderedLayerNormalization",
            "BranchwiseRMSNorm",
            "GatedRMSNorm",
            "RMSNormRotary",
        ],
        _NORMALIZATION,
    ),
    **{key: {"data": "buffer"} for key in ("Scatter", "ScatterElements", "ScatterND")},
    "TensorScatter": {"past_cache": "buffer"},
    **dict.fromkeys(
        [
            "Gemm",
            "MatMul",
            "MatMulInteger",
            "QLinearMatMul",
            "FusedGemm",
            "FusedMatMul",
            "TransposeMatMul",
            "MatMulIntegerToFloat",
            "DynamicQuantizeMatMul",
        ],
        _PRODUCT,
    ),
    **{
        key: {"b": "weight"}
        for key in [
            "MatMulNBits",
            "MatMulPacked",
            "MatMulBnb4",
            "MatMulFpQ4",
            "MatMulBlockQuantizedFp4Weight",
            "QOrderedMatMul",
        ]
    },
    **dict.fromkeys(["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"], _COMPARISON),
    **dict.fromkeys(
        [
            "Conv",
            "FusedConv",
            "NhwcConv",
            "NhwcFusedConv",
            "ConvTranspose",
            "DeformConv",
            "RNN",
            "GRU",
            "LSTM",
            "AttnLSTM",
            "DynamicQuantizeLSTM",
        ],
        _BIASED,
    ),
    **{key: {"b": "quantized bias"} for key in ["QLinearConv", "QLinearConvTranspose"]},
    "DeformConv": _BIASED | {"mask": "data"},
    "ConvTransposeWithDynamicPads": _BIASED | {"pads": "setting"},
    "GemmFloat8": {"b": "weight", "c": "bias"},
    "QGemm": {"b": "weight", "c": "quantized bias"},
    "GemmFastGelu": {"x": "weight"},
    "MatMulBlockQuantizedFp8Weight": {"b": "weight", "a_scale": "setting"},
    "MatMulBlockQuantizedFp4Weight": {"b": "weight", "weight_scale_2": "setting", "input_scale": "setting"},
    "Einsum": {"inputs": "weight"},
    "DequantizeLinear": {"x": "codes"},
    "Mul": {"a": "factor", "b": "factor"},
    "Div": {"b": "divisor"},
    "Mod": {"b": "divisor"},
    "Sqrt": {"x": "positive"},
    "Reciprocal": {"x": "positive"},
    "Log": {"input": "positive"},
    "Pow": {"y": "positive"},
    "BitShift": {"y": "number"},
    "ConstantOfShape": {"input": "shape"},
    "TopK": {"k": "shape"},
    "Resize": {"scales": "shape"},
    "Upsample": {"scales": "shape"},
    "CropAndResize": {"rois": "setting"},
    "Gather": {"data": "table"},
    "TorchEmbedding": {"weight": "table"},
    "GatherBlockQuantized": {"data": "weight"},
    "GatherPacked": {"data": "weight"},
    "ArrayFeatureExtractor": {"y": "index"},
    "com.microsoft.Pad": {"value": "setting"},
    "com.microsoft.ExpandDims": {"axis": "shape"},
    # Not what it is about: masks that are masks, weights of classes, biases of scores.
    "Attention": {"k": "data", "attention_bias": "data"},
    "MultiHeadAttention": {"attention_bias": "data"},
    "GroupQueryAttention": {"attention_bias": "data"},
    "PagedAttention": {"k_scale": "setting", "v_scale": "setting"},
    "QOrderedAttention": {"attention_bias": "data", "mask_index": "data"},
    "NegativeLogLikelihoodLoss": {"weight": "data"},
    "SoftmaxCrossEntropyLoss": {"weights": "data"},
    "MoEPacked": {"router_weights": "data"},
    "QMoE": {"router_weights": "data"},
}


def name_role(key: str, name: str) -> str:
    """The role that an input's name says."""
    own = OWN_NAMES.get(key.rpartition(".")[2], {}) | OWN_NAMES.get(key, {})
    return own.get(name) or next((role for role, pattern in NAMES.items() if re.fullmatch(pattern, name)), "data")


def test_its_operators_are_known() -> None:
    assert ROLES.keys() <= FORMULAS.keys() | UNCOUNTABLE.keys()


def test_only_operators_of_other_tools_have_no_schema() -> None:
    # An older onnxruntime lacks some of its own.
    expected = {"com.microsoft"} if onnxruntime.__version__.startswith("1.31.") else set()
    assert {key.rpartition(".")[0] for key in ROLES.keys() - INPUTS.keys()} == expected | {
        "qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas",
    }  # fmt: skip


def roles_by_name(key: str) -> dict[str, InputRole]:
    return {name: ROLES[key].get(place, DATA) for place, name in enumerate(INPUTS[key])}


@pytest.mark.parametrize("key", sorted(ROLES.keys() & INPUTS.keys()))
def test_names(key: str) -> None:
    roles = roles_by_name(key)
    assert {name: role.name for name, role in roles.items()} == {name: name_role(key, name) for name in roles}
    assert key == "Einsum" or ROLES[key].keys() <= set(range(len(INPUTS[key])))


# By https://github.com/fastmachinelearning/qonnx: what decodes a number, and widths, bounds and the like.
QUANTIZERS = {
    "Quant": ["data", "scale", "zero point", "setting"],
    "IntQuant": ["data", "scale", "zero point", "setting"],
    "BipolarQuant": ["data", "scale"],
    "BinaryQuant": ["data", "scale"],
    "Trunc": ["data", "scale", "zero point", "setting", "setting", "setting"],
    "FloatQuant": ["data", "scale", "setting", "setting", "setting", "setting", "setting"],
}


@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas"])
@pytest.mark.parametrize(("name", "roles"), QUANTIZERS.items(), ids=QUANTIZERS.keys())
def test_quantizers_of_other_tools(name: str, roles: list[str], domain: str) -> None:
    found = ROLES[f"{domain}.{name}"]
    assert [found.get(place, DATA).name for place in range(len(roles))] == roles
    assert max(found) < len(roles)
    assert {role.of for role in found.values() if role.name in ("scale", "zero point")} == {0}


# What a scale belongs to where its name does not say it.
DECODED = {
    ("QuantizeLinear", "y"): "x",
    ("com.microsoft.QuantizeLinear", "y"): "x",
    ("com.microsoft.GroupQueryAttention", "k"): "past_key",
    ("com.microsoft.GroupQueryAttention", "v"): "past_value",
    **{("com.microsoft.MatMulNBitsQkv", part): f"{part}_b" for part in "qkv"},
    ("com.microsoft.MatMulBlockQuantizedFp4Weight", "weight"): "b",
}


@pytest.mark.parametrize("key", sorted(ROLES.keys() & INPUTS.keys()))
def test_what_a_scale_or_a_zero_point_belongs_to(key: str) -> None:
    """``w_scale`` is that of ``w``, ``fc1_scales`` that of ``fc1_experts_weights``, ``y_scale`` that of the output."""
    names = INPUTS[key]
    for name, role in roles_by_name(key).items():
        if role.name not in ("scale", "zero point"):
            assert role.of is None
            continue
        stem = re.sub("_?(global_)?(scales?|zero_points?|absmax)_?", "", name)
        stem = DECODED.get((key, stem), stem)
        weights = [each for each in names if name_role(key, each) == "weight"]
        if stem in names:
            owners = [stem]
        elif stem in OUTPUTS[key]:
            owners = []
        else:
            owners = [each for each in (*weights, *names) if each.startswith(f"{stem}_" if stem else "")][:1]
        expected = names.index(owners[0]) if owners else OUTPUT
        assert role.of == expected, f"{name} belongs to {owners or 'the output'}"


@pytest.mark.parametrize(
    "key", [key for key in INPUTS if key in FORMULAS and any("zero_point" in each for each in INPUTS[key])]
)
def test_no_zero_point_is_forgotten(key: str) -> None:
    """What has a zero point has its scale, too."""
    roles = ROLES.get(key, {})
    for place, name in enumerate(INPUTS[key]):
        assert ("zero_point" in name.lower()) == (place in roles and roles[place].name == "zero point"), name


ODD_VALUES = (None, 0, -1, 2**40, 3.5, "x", "ij,jk->ik", (), (1, 2))
ODD_DIMS = (None, (), (0,), (3,), (2, 3), (2, 3, 4, 5), ("n", 3))
ATTRIBUTES = (
    "axis",
    "axes",
    "batch_dims",
    "layout",
    "time_axis",
    "vocab_size",
    "gather_axis",
    "equation",
    "strides",
    "K",
    "N",
    "bits",
)


@pytest.mark.parametrize("key", sorted(ROLES))
def test_a_node_that_does_not_fit_its_operator_has_no_numbers(key: str) -> None:
    pick = random.Random(key)
    domain, _, op_type = key.rpartition(".")
    for _ in range(30):
        inputs = [Tensor(f"x{i}", "int64", pick.choice(ODD_DIMS), value=pick.choice((None, (1,), (0, -3)))) for i in range(18)]
        attributes = {name: pick.choice(ODD_VALUES) for name in pick.sample(ATTRIBUTES, 5)}
        node = Node("", op_type, domain, tuple(pick.choice((None, each)) for each in inputs), (inputs[0],), attributes)
        for role in (role_of(node, place) for place in ROLES[key]):
            assert isinstance(role.count_indices(node), int | None)
            assert isinstance(role.find_numbers(node), tuple | None)
