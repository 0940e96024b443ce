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
FILLED = """(float[1,100] x) => (float[1,100] y) {
    s = Constant<value_ints = [100, 100]>() w = ConstantOfShape<value = float[1] {0.5}>(s) y = MatMul(x, w) }"""
CONV = "(float[1,16,8,8] x) => (float[1,16,8,8] y) { y = Conv<pads = [1, 1, 1, 1]>(x, w) }"
PLAIN = "(float[1,6,8,8] x) => (float[1,6,8,8] y) { y = Conv<pads = [1, 1, 1, 1], group = 2>(x, w) }"
SCALED = """(float[1,16,8,8] x) => (float[1,16,8,8] y) {
    c = Conv<pads = [1, 1, 1, 1]>(x, w) y = BatchNormalization(c, s, s, s, s) }"""
THREE = "(float[1,16,8,8] x) => (float[1,32,8,8] y) { a = Conv(x, u) b = Conv(a, v) y = Conv<pads = [1, 1, 1, 1]>(b, w) }"
FILTER = 16 * 16 * 9 * 4


def report(text: str, *, inside: bool, **weights: tuple[int, ...]) -> CostReport:
    """Of a model with its weights inside the file, or in one beside it."""
    found = onnxcost.estimate(model(text, **weights))
    return replace(found, graph=replace(found.graph, file_bytes=10**9 if inside else 0))


@pytest.mark.parametrize(
    ("text", "weights", "inside", "expected"),
    [
        pytest.param(MATMUL, {"w": (100, 100)}, True, Loading(80_000, 0, 40_000), id="packed beside the original"),
        pytest.param(MATMUL, {"w": (100, 100)}, False, Loading(80_000, 0, 0), id="packed from a mapped file"),
        pytest.param(GATHER, {"w": (100, 100)}, True, Loading(80_000, 0, 0), id="read from the file"),
        pytest.param(GATHER, {"w": (100, 100)}, False, Loading(40_000, 0, 0), id="mapped"),
        pytest.param(FILLED, {}, False, Loading(80_000, 0, 40_000), id="worked out"),
        pytest.param(CONV, {"w": (16, 16, 3, 3)}, True, Loading(4 * FILTER, 0, 3 * FILTER), id="in blocks"),
        pytest.param(CONV, {"w": (16, 16, 3, 3)}, False, Loading(4 * FILTER, 0, 3 * FILTER), id="in blocks from a mapped file"),
        pytest.param(PLAIN, {"w": (6, 3, 3, 3)}, False, Loading(6 * 3 * 9 * 4, 0, 0), id="groups that fill no block"),
    ],
)
def test_what_weights_take_while_they_are_loaded(
    text: str, weights: dict[str, tuple[int, ...]], inside: bool, expected: Loading
) -> None:
    assert process_of(report(text, inside=inside, **weights)).loading == expected


def test_weights_that_fusion_multiplies_are_in_memory() -> None:
    """The new ones, their blocks, and these as a vector and as protobuf; of these only the blocks stay."""
    found = process_of(report(SCALED, inside=False, w=(16, 16, 3, 3), s=(16,)))
    assert found.loading == Loading(4 * FILTER, 0, 3 * FILTER)


def test_the_room_of_one_filter_is_used_again_by_those_that_fit_in() -> None:
    """Of filters of 1, 1 and 18 KiB: the first leaves room for the second, the third wants its own."""
    found = process_of(report(THREE, inside=False, u=(16, 16, 1, 1), v=(16, 16, 1, 1), w=(32, 16, 3, 3)))
    assert found.loading == Loading((1 + 1 + 18 + 3 * 18) * 1024, 3 * 1024, 3 * 1024 + 3 * 18 * 1024)


def test_large_blocks_go_back_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_fit, "MAPPED", 2048)
    found = process_of(report(THREE, inside=False, u=(16, 16, 1, 1), v=(16, 16, 1, 1), w=(32, 16, 3, 3)))
    assert found.loading == Loading((1 + 1 + 18 + 3 * 18) * 1024, 3 * 1024, 3 * 1024)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(float[10] x) => (float[10] y) { y = Neg(x) }", Running(0, 80, 0)),
        ("(float[10] x) => (float[10] y) { a = Neg(x) b = Neg(a) y = Neg(b) }", Running(0, 120, 80)),
        ("(float[10] x) => (float[10] y) { s = Sigmoid(x) y = Mul(x, s) }", Running(0, 80, 0)),
    ],
)
def test_what_lies_between_inputs_and_outputs_is_there_twice(text: str, expected: Running) -> None:
    assert process_of(report(text, inside=False)).running == expected


@pytest.mark.parametrize(
    ("loading", "peak"),
    [
        (Loading(0, 0, 0), 60),
        (Loading(50, 0, 40), 80),
        (Loading(100, 0, 40), 100),
        (Loading(100, 10, 40), 105),
    ],
)
def test_half_of_what_malloc_may_keep_is_counted(loading: Loading, peak: int) -> None:
    assert Process(Running(30, 20, 10), loading).peak == peak


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
