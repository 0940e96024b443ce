from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import onnxcost
from onnxcost.errors import UnknownShape
from onnxcost.hardware import memory_fit
from onnxcost.hardware.memory_fit import Loading, Process, Running, process_of
from onnxcost.report import CostReport
from tests.modeltext import model

MATMUL = "(float[1,100] x) => (float[1,100] y) { y = MatMul(x, w) }"
GATHER = "(int64[2] x) => (float[2,100] y) { y = Gather(w, x) }"
TIED = "(int64[2] x, float[1,100] v) => (float[2,100] y, float[1,100] z) { y = Gather(w, x) z = MatMul(v, w) }"
FILLED = """(float[1,100] x) => (float[1,100] y) {
    s = Constant<value_ints = [100, 100]>() w = ConstantOfShape<value = float[1] {0.5}>(s) y = MatMul(x, w) }"""
CONV = "(float[1,16,8,8] x) => (float[1,16,8,8] y) { y = Conv<pads = [1, 1, 1, 1]>(x, w) }"
PLAIN = "(float[1,6,8,8] x) => (float[1,6,8,8] y) { y = Conv<pads = [1, 1, 1, 1], group = 2>(x, w) }"
SCALED = """(float[1,16,8,8] x) => (float[1,16,8,8] y) {
    c = Conv<pads = [1, 1, 1, 1]>(x, w) y = BatchNormalization(c, s, s, s, s) }"""
STANDARD = """(float[1,16,8,8] x) => (float[1,16,8,8] y) {
    a = Abs(w) b = Sub(w, a) y = Conv<pads = [1, 1, 1, 1]>(x, b) }"""
TWO = "(float[1,100] x) => (float[1,200] y) { a = MatMul(x, w) y = MatMul(a, v) }"
TREE = """(float[1,2] x) => (float[1,1] y) {
    y = ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1, nodes_treeids = [0, 0, 0], nodes_nodeids = [0, 1, 2],
        nodes_values = [0.5, 0.0, 0.0], target_weights = [1.0, 2.0]> (x) }"""
FILTER = 16 * 16 * 9 * 4


def report(text: str, *, inside: bool, **weights: tuple[int, ...]) -> CostReport:
    """Of a model with its weights inside the file, or in one beside it."""
    found = onnxcost.estimate(model(text, **weights))
    return replace(found, graph=replace(found.graph, file_bytes=10**9 if inside else 0))


@pytest.mark.parametrize(
    ("text", "weights", "inside", "expected"),
    [
        pytest.param(MATMUL, {"w": (100, 100)}, True, Loading(0, 30_000, 0), id="packed beside the original"),
        pytest.param(TWO, {"w": (100, 100), "v": (100, 200)}, True, Loading(0, 90_000, 0), id="one after the other"),
        pytest.param(TWO, {"w": (100, 100), "v": (100, 200)}, False, Loading(0, 40_000, 0), id="packed from a mapped file"),
        pytest.param(GATHER, {"w": (100, 100)}, True, Loading(0, 0, 0), id="read as it is"),
        pytest.param(FILLED, {}, False, Loading(0, 12_000, 16), id="worked out of a shape"),
        pytest.param(CONV, {"w": (16, 16, 3, 3)}, True, Loading(3 * FILTER // 2, 0, 0), id="in blocks"),
        pytest.param(CONV, {"w": (16, 16, 3, 3)}, False, Loading(FILTER // 2, 0, 0), id="in blocks from a mapped file"),
        pytest.param(SCALED, {"w": (16, 16, 3, 3), "s": (16,)}, False, Loading(3 * FILTER // 2, 0, 0), id="multiplied"),
        pytest.param(STANDARD, {"w": (16, 16, 3, 3)}, False, Loading(FILTER // 2, 0, FILTER), id="worked out in two steps"),
        pytest.param(PLAIN, {"w": (6, 3, 3, 3)}, False, Loading(0, 0, 0), id="groups that fill no block"),
    ],
)
def test_what_is_kept_of_loading(text: str, weights: dict[str, tuple[int, ...]], inside: bool, expected: Loading) -> None:
    assert process_of(report(text, inside=inside, **weights)).loading == expected


@pytest.mark.parametrize(
    ("text", "inside", "held"),
    [
        pytest.param(GATHER, True, 40_000, id="a table in the file"),
        pytest.param(GATHER, False, 12_000, id="rows of a mapped table"),
        pytest.param(TIED, False, 40_000, id="a table that a product reads, too"),
    ],
)
def test_of_a_mapped_table_a_part_is_in_memory(text: str, inside: bool, held: int) -> None:
    made = report(text, inside=inside, w=(100, 100))
    assert process_of(made).running.weights == held
    assert memory_fit.memory_on_cpu(made)["weights"] == held


def test_trees_take_more_than_their_numbers() -> None:
    """Six integers and five floats."""
    found = process_of(report(TREE, inside=True))
    assert found.running.weights == int(6.5 * (6 * 8 + 5 * 4))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(float[10] x) => (float[10] y) { y = Neg(x) }", Running(0, 80, 0)),
        ("(float[10] x) => (float[10] y) { a = Neg(x) b = Neg(a) y = Neg(b) }", Running(0, 120, 80)),
        ("(float[10] x) => (float[10] y) { s = Sigmoid(x) y = Mul(x, s) }", Running(0, 80, 0)),
    ],
)
def test_values_between_inputs_and_outputs_are_in_memory_twice(text: str, expected: Running) -> None:
    assert process_of(report(text, inside=False)).running == expected


def test_the_peak_is_all_that_is_held() -> None:
    assert Process(Running(30, 20, 10), Loading(5, 6, 7)).peak == 78


def test_the_same_report_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = report(MATMUL, inside=True, w=(100, 100))
    first = process_of(made)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(memory_fit, "optimize", refuse)
    assert process_of(made) is first


def test_a_node_that_does_not_fit_its_operator_leaves_the_process_unknown() -> None:
    made = report(MATMUL, inside=True, w=(100, 100))
    odd = replace(made.graph.nodes[0], op_type="Transpose", attributes={"perm": (7,)})
    with pytest.raises(UnknownShape, match="does not fit its operator"):
        process_of(replace(made, graph=replace(made.graph, nodes=(odd,))))
