"""Scalers and encoders against the oracle."""

import numpy as np
import pytest
from onnx import TensorProto, helper

import onnxcost
from onnxcost import estimate
from onnxcost.formulas import FORMULAS, Formula
from onnxcost.graph import Node, Tensor, Work
from onnxcost.operators.traffic import Traffic
from tests.modeltext import model
from tests.oracle import Case, by_hand, case, check
from tests.oracle.cases import node_of

ML = "ai.onnx.ml"
X = (2, 3)
CASES = [
    case(f"{ML}.Scaler", X, offset=[0.1, 0.2, 0.3], scale=[1.0, 2.0, 3.0]),
    case(f"{ML}.Imputer", X, imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=0.0),
    case(f"{ML}.Binarizer", X, threshold=0.5),
    *(case(f"{ML}.Normalizer", X, norm=norm) for norm in ("MAX", "L1", "L2")),
    case(f"{ML}.ArrayFeatureExtractor", X, np.array([0, 2])),
    case(f"{ML}.FeatureVectorizer", X, (2, 5), inputdimensions=[3, 5]),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


LOOKED_UP = "OneHotEncoder LabelEncoder CategoryMapper DictVectorizer CastMap ZipMap"
BY_HAND = [(f"{ML}.{name}", [(2, 3)], [(2, 3)], Work()) for name in LOOKED_UP.split()]


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, work) -> None:
    assert by_hand(op_type, inputs, outputs) == work


SHAPES = [
    (f"{ML}.Scaler", [X], [("float32", X)]),
    (f"{ML}.Normalizer", [X], [("float32", X)]),
    (f"{ML}.Imputer", [X], [("float32", X)]),
    (f"{ML}.FeatureVectorizer", [X, (2, 5)], [("float32", (2, 8))]),
    (f"{ML}.FeatureVectorizer", [(3,)], [("float32", (1, 3))]),
    (f"{ML}.ArrayFeatureExtractor", [(4, 2, 3), (1, 5)], [("float32", (4, 2, 5))]),
    (f"{ML}.ArrayFeatureExtractor", [(3,), (5,)], [("float32", (1, 5))]),
]


@pytest.mark.parametrize(("op_type", "inputs", "types"), SHAPES)
def test_shapes_that_onnx_does_not_infer(op_type, inputs, types) -> None:
    node = node_of(case(op_type, *inputs), inputs, [None])
    formula = FORMULAS[op_type]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    assert list(formula.shapes(node)) == types


@pytest.mark.parametrize(("before", "after"), [("string", "int64"), ("int64", "string")])
def test_the_first_label_encoder_has_strings_on_one_side(before: str, after: str) -> None:
    formula = FORMULAS[f"{ML}.LabelEncoder"]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    node = Node("", "LabelEncoder", ML, (Tensor("x", before, (2, 3)),), (None,))
    assert list(formula.shapes(node)) == [(after, (2, 3))]


_CLASSIFIER = """label, prob = ai.onnx.ml.LinearClassifier <classlabels_ints = [0,1,2], intercepts = [0.0,0.0,0.0],
    coefficients = [0.1,0.1,0.1,0.1,0.1,0.1]> (x)"""
ZIPPED = {
    "numbers": ("seq(map(int64, float))", "z = ai.onnx.ml.ZipMap <classlabels_int64s = [0,1,2]> (prob)"),
    "strings": ("seq(map(string, float))", 'z = ai.onnx.ml.ZipMap <classlabels_strings = ["a","b","c"]> (prob)'),
    "handed on": ("seq(map(int64, float))", "k = ai.onnx.ml.ZipMap <classlabels_int64s = [0,1,2]> (prob) z = Identity(k)"),
    "one of them": ("map(int64, float)", "k = ai.onnx.ml.ZipMap <classlabels_int64s = [0,1,2]> (prob) z = SequenceAt(k, i)"),
}


@pytest.mark.parametrize(("kind", "nodes"), ZIPPED.values(), ids=ZIPPED.keys())
def test_maps_cost_nothing(kind: str, nodes: str) -> None:
    """Four rows of two features: 4·3·2 MACs, 4·2 floats read, 4·3 scores and 4 labels written."""
    text = f"(float[4,2] x) => (int64[4] label, {kind} z) <int64 i = {{0}}> {{ {_CLASSIFIER} {nodes} }}"
    report = onnxcost.estimate(model(text, domains=', "ai.onnx.ml" : 1'))
    assert (report.macs, report.complete, report.bound, report.uncounted) == (24, True, "", ())
    assert report.whole.traffic == Traffic(4 * 2 * 4, 4 * 3 * 4 + 4 * 8)
    assert report.memory.peak_activation_bytes is not None


def test_labels_of_the_largest_scores() -> None:
    """As converters of scikit-learn write them: 4·3 scores of two features each, the label of the best of each row."""
    text = """(float[N,2] x) => (int64 label) <int64[3] classes = {5, 6, 7}, int64[1] flat = {-1}> { s = MatMul(x, w)
        best = ArgMax <axis = 1> (s) picked = ai.onnx.ml.ArrayFeatureExtractor(classes, best) k = Cast <to = 7> (picked)
        label = Reshape(k, flat) }"""
    report = onnxcost.estimate(model(text, domains=', "ai.onnx.ml" : 1', w=(2, 3)), dims={"N": 4})
    assert (report.macs, report.complete, report.graph.outputs[0].shape) == (24, True, (4,))


@pytest.mark.parametrize("words", [{"string_vocabulary": ["a", "b", "c"]}, {"int64_vocabulary": [1, 2, 3]}])
def test_a_map_becomes_a_column_for_each_word(words: dict[str, list]) -> None:
    """What a classifier behind it reads is known: 3 terms for each of 2 classes."""
    key = TensorProto.STRING if "string_vocabulary" in words else TensorProto.INT64
    nodes = [
        helper.make_node("DictVectorizer", ["m"], ["v"], domain=ML, **words),
        helper.make_node("LinearClassifier", ["v"], ["l", "p"], domain=ML, coefficients=[0.1] * 6, intercepts=[0.1] * 2,
                         classlabels_ints=[0, 1]),
    ]  # fmt: skip
    of_floats = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    inputs, outputs = [helper.make_value_info("m", of_floats)], [helper.make_tensor_value_info("l", TensorProto.INT64, None)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 1)]
    report = estimate(helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), opset_imports=opsets))
    assert (report.macs, report.complete) == (6, True)
