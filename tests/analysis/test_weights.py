"""How many parameters a model has, and the bytes of its weights."""

from __future__ import annotations

import pytest

import onnxcost
from tests.modeltext import model

# node, parameters, bytes of its lists: 4 a float, 8 an integer
LEARNED = {
    "a linear classifier": (
        "y, z = ai.onnx.ml.LinearClassifier <coefficients = [0.1,0.2,0.3,0.4,0.5,0.6], intercepts = [0.1,0.2,0.3], "
        "classlabels_ints = [0,1,2]> (x)", 9, 4 * 9 + 8 * 3,
    ),
    "a tree of two thresholds and three leaves": (
        """y = ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1, nodes_treeids = [0,0,0,0,0], nodes_nodeids = [0,1,2,3,4],
            nodes_featureids = [0,1,0,0,0], nodes_values = [0.5,0.25,0.0,0.0,0.0],
            nodes_modes = ["BRANCH_LEQ","BRANCH_LEQ","LEAF","LEAF","LEAF"], nodes_truenodeids = [1,3,0,0,0],
            nodes_falsenodeids = [2,4,0,0,0], target_treeids = [0,0,0], target_nodeids = [2,3,4], target_ids = [0,0,0],
            target_weights = [1.0,2.0,3.0]> (x)""", 5, 4 * (5 + 3) + 8 * (5 * 5 + 3 * 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("node", "parameters", "weight_bytes"), LEARNED.values(), ids=LEARNED.keys())
def test_models_that_are_attributes(node: str, parameters: int, weight_bytes: int) -> None:
    proto = model(f"(float[1,2] x) => (float y) {{ {node} }}", domains=', "ai.onnx.ml" : 3')
    memory = onnxcost.estimate(proto).memory
    assert (memory.parameters, memory.weight_bytes) == (parameters, weight_bytes)


@pytest.mark.parametrize("views", ["r = Reshape(table, whole)", "f = Flatten(table) r = Reshape(f, whole)"])
def test_a_packed_table_after_views_counts_its_elements(views: str) -> None:
    """Two numbers of 4 bits share a byte."""
    text = f"""(int64[7] ids) => (float y) <uint8[4,2,4] table = {{{",".join(["1"] * 32)}}}, int64[2] whole = {{4, 8}}> {{
        {views} y = com.microsoft.GatherBlockQuantized<bits = 4, block_size = 16, quantize_axis = 1>(r, ids, scales) }}"""
    report = onnxcost.estimate(model(text, domains=', "com.microsoft" : 1', scales=(4, 1)))
    assert report.parameters == 2 * 32


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32"])
def test_codes_of_16_and_32_bits_are_parameters(dtype: str) -> None:
    text = (
        f"(float[3,2] x) => (float y) <{dtype}[2,4] k = {{1,2,3,4,5,6,7,8}}> {{ w = DequantizeLinear(k, s) y = MatMul(x, w) }}"
    )
    assert onnxcost.estimate(model(text, opset=21, s=())).parameters == 8


def test_integers_that_a_view_hands_to_a_decoder() -> None:
    text = """(float[3,2] x) => (float y) <int32[4] k = {1, 2, 3, 4}, int64[2] s = {1, 4}> { v = Reshape(k, s)
        b = DequantizeLinear(v, scale) m = MatMul(x, w) y = Add(m, b) }"""
    assert onnxcost.estimate(model(text, w=(2, 4), scale=())).parameters == 8 + 4


def test_a_weight_of_a_function_that_is_called_twice() -> None:
    """It is stored once."""
    twice = """<domain: "f", opset_import: ["" : 17]> layer (x) => (y) {
        w = Constant <value = float[2,2] {1, 2, 3, 4}> () y = MatMul(x, w) }"""
    text = "(float[3,2] x) => (float y) { a = f.layer(x) y = f.layer(a) }"
    report = onnxcost.estimate(model(text, functions=twice, domains=', "f" : 1'))
    assert (report.macs, report.parameters, report.memory.weight_bytes) == (2 * 12, 4, 16)
