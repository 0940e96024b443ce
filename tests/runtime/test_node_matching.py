"""Small models, run by onnxruntime: every executed node finds its node in the graph, and the work is that of the true shapes.

A node is written as its operator, its executions in one run, and its FLOPs there, all worked out by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, numpy_helper

import onnxcost
from onnxcost.report import CostReport
from onnxcost.runtime.node_matching import match_nodes
from onnxcost.runtime.ort_profile import read_profile
from onnxcost.runtime.profile import ProfiledNode
from onnxcost.runtime.protocol import ArenaUse, ExecutedNode, Profiled
from tests.modeltext import model

Feed = dict[str, Any]
LEVELS = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def profiled(proto: ModelProto, feeds: Sequence[Feed], level: str, folder: Path) -> tuple[Profiled, CostReport, CostReport]:
    """One profiled run for each of the feeds, the report of the graph that ran, and that of the model."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for feed in feeds:
        session.run(None, feed)
    found = read_profile(session.end_profiling())
    report = onnxcost.estimate(folder / "optimized.onnx")
    return (
        Profiled(found.executed, found.run_seconds, options.optimized_model_filepath, found.memory),
        report,
        onnxcost.estimate(proto),
    )


def as_written(nodes: Sequence[ProfiledNode]) -> list[tuple[str, float, float]]:
    assert [node.reason for node in nodes if not node.complete] == []
    return sorted((node.op_type, node.executions_per_run, node.flops) for node in nodes)


def x(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


SOME = np.array([0, 2, 0, 0, 5, 7, 0, 0], np.float32)
COUNT, TRUE, FALSE = np.array(3, np.int64), np.array(True), np.array(False)

CHAIN = model("(float[4,8] x) => (float[4,8] y) { a = Relu(x) b = Sqrt(a) c = MatMul(b, w) y = Relu(c) }", w=(8, 8))
LOOP = model("""(float[4,8] x, int64 n, bool c) => (float[4,8] y, float[k,4,8] s) {
    a = Sqrt(x)
    y, s = Loop <body = b (int64 i, bool d, float[4,8] v) => (bool e, float[4,8] w, float[4,8] o) {
        w = Add(v, v) e = Identity(d) o = Sqrt(w) }> (n, c, a) }""")
GROWING = model("""(float[1,8] x, int64 n, bool c) => (float[m,8] y) {
    y = Loop <body = b (int64 i, bool d, float[q,8] v) => (bool e, float[r,8] u) {
        w = Concat<axis = 0>(v, v) u = Sqrt(w) e = Identity(d) }> (n, c, x) }""")
UNROLLED = model("""(float[1,8] x) => (float[m,8] y) {
    n = Constant<value = int64 {3}>() c = Constant<value = bool {1}>()
    y = Loop <body = b (int64 i, bool d, float[q,8] v) => (bool e, float[r,8] u) {
        w = Concat<axis = 0>(v, v) u = Sqrt(w) e = Identity(d) }> (n, c, x) }""")
SCAN = model("""(float[8] x, float[5,8] s) => (float[8] y, float[5,8] z) {
    y, z = Scan <num_scan_inputs = 1, body = b (float[8] h, float[8] e) => (float[8] k, float[8] f) {
        k = Add(h, e) f = Sqrt(k) }> (x, s) }""")
BRANCHES = model("""(float[4,8] x, bool c) => (float[4,8] y) {
    y = If <then_branch = t () => (float[4,8] a) { s = Sqrt(x) a = Sqrt(s) },
            else_branch = e () => (float[4,8] b) { s = Sqrt(x) b = MatMul(s, w) }> (c) }""", w=(8, 8))  # fmt: skip
NESTED = model("""(float[4,8] x, int64 n, bool c) => (float[4,8] y) {
    y = Loop <body = b (int64 i, bool d, float[4,8] v) => (bool e, float[4,8] w) {
        two = Constant<value = int64 {2}>() last = Equal(i, two) e = Identity(d)
        w = If <then_branch = t () => (float[4,8] a) { a = Sqrt(v) },
                else_branch = f () => (float[4,8] g) { h = Add(v, v) g = Add(h, v) }> (last) }> (n, c, x) }""")
FUNCTION = model(
    "(float[4,8] x) => (float[4,8] y) { a = local.twice(x) b = Sqrt(a) y = local.twice(b) }",
    functions='<domain: "local", opset_import: ["" : 17]> twice (x) => (y) { a = Add(x, x) y = Sqrt(a) }',
    domains=', "local" : 1',
)
PICKED = model("(float[8] x) => (float[n] y) { z = NonZero(x) t = Transpose(z) g = GatherND(x, t) y = Sqrt(g) }")
PACKED = model("(float[4,8] x) => (float[4,2] y) { y = Gemm(x, w, b) }", w=(8, 2), b=(2,))
OPEN = model("(float[n,8] x) => (float[n,2] y) { y = Gemm(x, w, b) }", w=(8, 2), b=(2,))
SEQUENCE = model("""(float[4,8] x) => (float[8,8] y) {
    s = SequenceConstruct(x, x) t = SequenceInsert(s, x) c = ConcatFromSequence<axis = 0>(s) y = Sqrt(c) }""")

MATMUL, GEMM = 4 * 8 * 15, 4 * 2 * 16


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("proto", "feeds", "expected"),
    [
        (CHAIN, [{"x": x(4, 8)}], [("MatMul", 1, MATMUL), ("Relu", 1, 32), ("Relu", 1, 32), ("Sqrt", 1, 32)]),
        (
            LOOP,
            [{"x": x(4, 8), "n": COUNT, "c": TRUE}] * 2,
            [("Add", 3, 96), ("Identity", 3, 0), ("Loop", 1, 0), ("Sqrt", 1, 32), ("Sqrt", 3, 96)],
        ),
        (
            GROWING,
            [{"x": x(1, 8), "n": COUNT, "c": TRUE}],
            [("Concat", 3, 0), ("Identity", 3, 0), ("Loop", 1, 0), ("Sqrt", 3, 16 + 32 + 64)],
        ),
        (
            UNROLLED,
            [{"x": x(1, 8)}],
            [("Concat", 3, 0), ("Identity", 3, 0), ("Loop", 1, 0), ("Sqrt", 3, 16 + 32 + 64)],
        ),
        (SCAN, [{"x": x(8), "s": x(5, 8)}], [("Add", 5, 40), ("Scan", 1, 0), ("Sqrt", 5, 40)]),
        (
            BRANCHES,
            [{"x": x(4, 8), "c": TRUE}, {"x": x(4, 8), "c": FALSE}],
            [("If", 1, 0), ("MatMul", 0.5, MATMUL / 2), ("Sqrt", 0.5, 16), ("Sqrt", 0.5, 16), ("Sqrt", 0.5, 16)],
        ),
        (
            NESTED,
            [{"x": x(4, 8), "n": COUNT, "c": TRUE}],
            [
                ("Add", 2, 64),
                ("Add", 2, 64),
                ("Equal", 3, 3),
                ("Identity", 3, 0),
                ("If", 3, 0),
                ("Loop", 1, 0),
                ("Sqrt", 1, 32),
            ],
        ),
        (
            FUNCTION,
            [{"x": x(4, 8)}],
            [("Add", 1, 32), ("Add", 1, 32), ("Sqrt", 1, 32), ("Sqrt", 1, 32), ("Sqrt", 1, 32)],
        ),
        (PICKED, [{"x": SOME}], [("GatherND", 1, 0), ("NonZero", 1, 8), ("Sqrt", 1, 3), ("Transpose", 1, 0)]),
        (PACKED, [{"x": x(4, 8)}], [("Gemm", 1, GEMM)]),
        (OPEN, [{"x": x(4, 8)}, {"x": x(12, 8)}], [("Gemm", 1, 2 * GEMM)]),
        (
            SEQUENCE,
            [{"x": x(4, 8)}],
            [("ConcatFromSequence", 1, 0), ("SequenceConstruct", 1, 0), ("SequenceInsert", 1, 0), ("Sqrt", 1, 64)],
        ),
    ],
    ids=[
        "chain",
        "loop",
        "growing",
        "unrolled",
        "scan",
        "branches",
        "nested",
        "function",
        "picked",
        "packed",
        "open",
        "sequence",
    ],
)
def test_every_node_is_found_and_counted_at_its_true_shapes(
    proto: ModelProto, feeds: Sequence[Feed], expected: list[tuple[str, float, float]], level: str, tmp_path: Path
) -> None:
    nodes = match_nodes(*profiled(proto, feeds, level, tmp_path))
    assert as_written(nodes) == expected


def named(proto: ModelProto, *names: str) -> ModelProto:
    for node, name in zip(proto.graph.node, names, strict=True):
        node.name = name
    return proto


def test_a_name_that_looks_like_that_of_another_node_does_not_mislead(tmp_path: Path) -> None:
    text = "(float[4,8] x) => (float[8,4] y) { a = Relu(x) b = Sqrt(a) c = MatMul(b, w) d = Relu(c) y = Transpose(d) }"
    proto = named(model(text, w=(8, 8)), "Relu_3", "", "", "", "Relu_0")
    nodes = match_nodes(*profiled(proto, [{"x": x(4, 8)}], "all", tmp_path))
    assert [(node.name, node.op_type) for node in nodes] == [
        ("Relu_3", "Relu"), ("Sqrt_1", "Sqrt"), ("MatMul_2", "MatMul"), ("Relu_3", "Relu"), ("Relu_0", "Transpose")
    ]  # fmt: skip


def executed(*nodes: tuple[str, str, int]) -> Profiled:
    """One run of these nodes: name, operator and index, each on four rows."""
    types = (("float32", (4, 8)),)
    return Profiled(
        tuple(ExecutedNode(name, op_type, "CPU", index, (1e-6,), (types,), (types,), None) for name, op_type, index in nodes),
        (1e-5,),
        "",
        ArenaUse(),
    )


FOUR = named(
    model("(float[4,8] x) => (float[4,8] y) { a = Relu(x) b = Sqrt(a) c = Relu(b) y = Exp(c) }"), "first", "root", "second", ""
)


@pytest.mark.parametrize(
    ("ran", "found"),
    [
        (
            [("second", "Relu", 2), ("root", "Sqrt", 1), ("first", "Relu", 0), ("Exp_9", "Exp", 9)],
            ["second", "root", "first", "Exp_3"],
        ),
        ([("root", "Sqrt", 1), ("first", "Relu", 0)], ["root", "first"]),
        (
            [("Relu_8", "Relu", 8), ("Sqrt_4", "Sqrt", 4), ("Exp_5", "Exp", 5), ("Relu_6", "Relu", 6)],
            ["second", "root", "Exp_3", "first"],
        ),
    ],
    ids=["another order", "only some", "without names"],
)
def test_nodes_that_ran_in_another_order_are_found_by_name_and_operator(
    ran: list[tuple[str, str, int]], found: list[str]
) -> None:
    nodes = match_nodes(executed(*ran), *[onnxcost.estimate(FOUR)] * 2)
    assert [node.name for node in nodes] == found
    assert all(node.complete for node in nodes)


def test_a_node_that_the_graph_does_not_have_stays_uncounted() -> None:
    nodes = match_nodes(executed(("first", "Relu", 0), ("copy", "MemcpyToHost", 9)), *[onnxcost.estimate(FOUR)] * 2)
    assert [(node.name, node.complete) for node in nodes] == [("first", True), ("copy", False)]
    assert nodes[1].reason == "it is not in the graph that onnxruntime wrote"
    assert nodes[1].flops_per_second is None


def test_own_formulas_count(tmp_path: Path) -> None:
    ran, report, original = profiled(PICKED, [{"x": SOME}], "all", tmp_path)
    mine = onnxcost.FORMULAS | {"Sqrt": lambda node: onnxcost.Work(adds=100 * node.out.size)}
    assert {node.op_type: node.flops for node in match_nodes(ran, report, original, mine)}["Sqrt"] == 300


CONV = model("""(float[1,3,8,8] x) => (float[1,4,8,8] y) {
    c = Conv<pads = [1, 1, 1, 1]>(x, w) b = BatchNormalization(c, scale, bias, mean, var) y = Relu(b) }""",
    w=(4, 3, 3, 3), scale=(4,), bias=(4,), mean=(4,), var=(4,))  # fmt: skip
RESIDUAL = model("""(float[1,16,8,8] x) => (float[1,16,8,8] y) {
    c = Conv<pads = [1, 1, 1, 1]>(x, w) r = Relu(c) d = Conv<pads = [1, 1, 1, 1]>(r, v) s = Add(d, r) y = Relu(s) }""",
    w=(16, 16, 3, 3), v=(16, 16, 3, 3))  # fmt: skip
NORM = model("""(float[2,4,8] x) => (float[2,4,8] y) {
    two = Constant<value = float {2.0}>() tiny = Constant<value = float {0.00001}>()
    m = ReduceMean<axes = [2]>(x) d = Sub(x, m) p = Pow(d, two) v = ReduceMean<axes = [2]>(p)
    e = Add(v, tiny) r = Sqrt(e) q = Div(d, r) g = Mul(q, w) n = Add(g, b) y = Tanh(n) }""",
    opset=13, w=(8,), b=(8,))  # fmt: skip
GELU = model("""(float[2,8] x) => (float[2,8] y) {
    root = Constant<value = float {1.4142135}>() one = Constant<value = float {1.0}>() half = Constant<value = float {0.5}>()
    h = MatMul(x, w) d = Div(h, root) e = Erf(d) a = Add(e, one) m = Mul(h, a) y = Mul(m, half) }""", w=(8, 8))  # fmt: skip
QDQ = model("""(float[1,4,8,8] x) => (float[1,4,8,8] y) {
    s = Constant<value = float {0.02}>() z = Constant<value = uint8 {128}>() t = Constant<value = int8 {0}>()
    a = QuantizeLinear(x, s, z) i = DequantizeLinear(a, s, z) k = DequantizeLinear(w, s, t)
    c = Conv<pads = [1, 1, 1, 1]>(i, k) q = QuantizeLinear(c, s, z) y = DequantizeLinear(q, s, z) }""")
QDQ.graph.initializer.append(numpy_helper.from_array(np.ones((4, 4, 3, 3), np.int8), "w"))


@pytest.mark.parametrize(
    ("proto", "shape", "expected"),
    [
        (CONV, (1, 3, 8, 8), {"Conv": "c b y", "ReorderOutput": ""}),
        (RESIDUAL, (1, 16, 8, 8), {"Conv": "c r", "Conv 2": "d s y", "ReorderOutput": "", "ReorderInput": ""}),
        (NORM, (2, 4, 8), {"LayerNormalization": "m d p v e r q g n", "Tanh": "y"}),
        (GELU, (2, 8), {"MatMul": "h", "Gelu": "d e a m y"}),
        (
            QDQ,
            (1, 4, 8, 8),
            {"QuantizeLinear": "a", "QLinearConv": "i k c q", "DequantizeLinear": "y", "Transpose": "", "Transpose 2": ""},
        ),
    ],
    ids=["conv, bn, relu", "residual", "layer norm", "gelu", "qdq"],
)
def test_origins_are_the_nodes_that_were_fused(
    proto: ModelProto, shape: tuple[int, ...], expected: dict[str, str], tmp_path: Path
) -> None:
    """Nodes are written as what they make: what onnxruntime executes, and which nodes of the file are in it."""
    makes = {each.name: each.out.name for each in onnxcost.estimate(proto).graph.nodes}
    found: dict[str, str] = {}
    for node in match_nodes(*profiled(proto, [{"x": x(*shape)}], "all", tmp_path)):
        found[f"{node.op_type} 2" if node.op_type in found else node.op_type] = " ".join(makes[name] for name in node.origins)
    assert found.items() <= expected.items()
    assert sorted(" ".join(found.values()).split()) == sorted(" ".join(expected.values()).split())


def test_without_optimization_each_node_is_its_own_origin(tmp_path: Path) -> None:
    proto = named(model(
        "(float[4,8] x) => (float[4,8] y) { a = Relu(x) b = MatMul(a, w) c = Add(b, v) y = Gelu(c) }",
        opset=20, w=(8, 8), v=(8,),
    ), "one", "two", "three", "four")  # fmt: skip
    nodes = match_nodes(*profiled(proto, [{"x": x(4, 8)}], "none", tmp_path))
    assert [node.origins for node in nodes] == [("one",), ("two",), ("three",), ("four",)]
