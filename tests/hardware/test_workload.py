from __future__ import annotations

from dataclasses import replace

import pytest

import onnxcost
from onnxcost.estimator import count_graph
from onnxcost.formulas import FORMULAS
from onnxcost.hardware.workload import demand_of
from onnxcost.report import CostReport
from tests.hardware.machines import report
from tests.modeltext import model

CHAIN = "(float[1,8,32,32] x) => (float[1,8,32,32] y) { c = Conv<pads = [1, 1, 1, 1]>(x, w) r = Relu(c) y = Add(r, x) }"
QDQ = """(float[1,64] x) => (float[1,32] y) {
    s = Constant<value_float = 0.1>() z = Constant<value = int8 {0}>()
    q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
    wd = DequantizeLinear(w, s, z)
    m = MatMul(d, wd)
    r = Relu(m)
    o = QuantizeLinear(r, s, z) y = DequantizeLinear(o, s, z)
}"""


def quantized() -> CostReport:
    import numpy as np
    from onnx import numpy_helper

    made = model(QDQ)
    made.graph.initializer.append(numpy_helper.from_array(np.zeros((64, 32), np.int8), "w"))
    return onnxcost.estimate(made)


def test_elementwise_nodes_run_with_what_makes_their_inputs_and_what_is_between_them_is_not_moved() -> None:
    demand = demand_of(report(CHAIN, w=(8, 8, 3, 3)))
    (step,) = demand.steps
    assert (step.node.op_type, step.merged) == ("Conv", 2)
    assert (step.macs, step.weights) == (8 * 32 * 32 * 72, 4 * 8 * 8 * 9)
    assert step.activations == 2 * 4 * 8 * 32 * 32  # the input once, though two nodes read it, and the output
    assert step.other == 2 * 8 * 32 * 32  # a comparison and an addition for each output


@pytest.mark.parametrize(
    ("graph", "operators"),
    [
        ("(float[4,4] x) => (float[4,4] y) { a = Relu(x) y = Sigmoid(a) }", ["Relu"]),
        ("(float[4,4] x) => (float[4,4] y) { a = Softmax(x) y = Sigmoid(a) }", ["Softmax"]),
        ("(float[4,4] x) => (float[4,4] y) { a = Sigmoid(x) y = Softmax(a) }", ["Sigmoid", "Softmax"]),
        (
            "(float[4,4] x) => (float[16] y) { s = Constant<value_ints = [16]>() a = Relu(x) b = Reshape(a, s) y = Exp(b) }",
            ["Relu"],
        ),
        ("(float[4,4] x) => (float[4,4] y) { a = Softmax(x) b = Softmax(a) y = Mul(a, b) }", ["Softmax", "Softmax"]),
        ("(float[4,4] x) => (int64[2] y) { y = Shape(x) }", []),
        # What is computed from constants alone is worked out before a run.
        ("(float[4,4] x) => (float[4,4] y) <float[4] w = {1,2,3,4}> { a = Exp(w) y = Softmax(x) z = Mul(y, a) }", ["Softmax"]),
    ],
)
def test_which_nodes_are_steps(graph: str, operators: list[str]) -> None:
    assert [step.node.op_type for step in demand_of(report(graph)).steps] == operators


def test_a_value_that_the_model_returns_is_written_though_the_next_node_runs_with_it() -> None:
    (step,) = demand_of(report("(float[10] x) => (float[10] a, float[10] y) { a = Relu(x) y = Exp(a) }")).steps
    assert step.activations == 3 * 40


def test_quantized_nodes_move_integers() -> None:
    demand = demand_of(quantized())
    matmul = next(step for step in demand.steps if step.macs)
    assert (matmul.dtype, matmul.merged) == ("int8", 2)
    assert matmul.weights - 64 * 32 <= 5  # the scale and the zero point beside
    assert matmul.activations == 64 + 32
    assert demand.macs == {"int8": 64 * 32}


@pytest.mark.parametrize(("table", "is_stored"), [("w", True), ("x", False)])
def test_of_a_table_only_the_rows_that_are_read_are_moved(table: str, is_stored: bool) -> None:
    """Three rows of four floats, by three indices of 8 bytes, which are written again."""
    demand = demand_of(report(f"(float[50,4] x, int64[3] i) => (float y) {{ y = Gather({table}, i) }}", w=(50, 4)))
    (step,) = demand.steps
    assert (step.weights > 0, step.weights + step.activations) == (is_stored, 48 + 3 * 8 + 48)


def test_weights_that_a_contraction_multiplies_with_are_followed_to_the_file() -> None:
    graph = "(float[4,8] x) => (float[4,8] y) { t = Transpose(w) a = MatMul(x, t) b = MatMul(a, t) y = Add(b, v) }"
    demand = demand_of(report(graph, w=(8, 8), v=(8,)))
    assert demand.operands == 4 * 64  # once, and without what is only added
    assert demand.ends == 2 * 4 * 32


def test_of_a_table_only_what_is_gathered_is_read() -> None:
    demand = demand_of(report("(int64[3] i) => (float[3,16] y) { y = Gather(w, i) }", w=(1000, 16)))
    assert demand.weights == 3 * 16 * 4 + 3 * 8
    assert demand.operands == 0


def test_a_body_that_runs_often_counts_as_often() -> None:
    graph = """(float[2,8] x) => (float[2,8] y) {
        n = Constant<value_int = 5>() c = Constant<value = bool {1}>()
        y = Loop(n, c, x) <body = b (int64 i, bool k, float[2,8] s) => (bool k2, float[2,8] r) {
            k2 = Identity(k) r = MatMul(s, w)
        }>
    }"""
    demand = demand_of(report(graph, w=(8, 8)))
    assert [(step.times, step.macs) for step in demand.steps if step.macs] == [(5, 128)]
    assert demand.macs == {"float32": 5 * 128}


def test_depthwise_convolutions_are_told_apart() -> None:
    graph = "(float[1,8,9,9] x) => (float[1,8,7,7] y) {{ y = Conv<group = {}>(x, w) }}"
    assert demand_of(report(graph.format(8), w=(8, 1, 3, 3))).steps[0].is_depthwise
    assert not demand_of(report(graph.format(2), w=(8, 4, 3, 3))).steps[0].is_depthwise


def test_the_same_report_is_gone_through_once() -> None:
    made = report(CHAIN, w=(8, 8, 3, 3))
    assert demand_of(made) is demand_of(made)


def test_a_sequence_whose_tensors_have_no_known_shape_moves_no_bytes() -> None:
    text = "(float[2,4] x) => (float[2,4] y, seq(float) t) { y = Relu(x) u = local.Unknown(x) t = SequenceConstruct(x, u) }"
    assert demand_of(onnxcost.estimate(model(text, domains=', "local" : 1'))).ends == 2 * 32


@pytest.mark.parametrize("operator", ["Identity", "Flatten", "Dropout"])
def test_a_node_without_its_input_passes_nothing_on(operator: str) -> None:
    read = report(f"(float[4,4] x) => (float[4,4] y) {{ a = {operator}(x) y = Softmax(x) }}").graph
    first, second = read.nodes
    broken = count_graph(replace(read, nodes=(first.rewire([None, first.x]), second)), FORMULAS)
    assert [step.node.op_type for step in demand_of(broken).steps] == ["Softmax"]
