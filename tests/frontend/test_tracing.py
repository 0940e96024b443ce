"""What data decides, counted as a run showed it: true shapes, taken branches, trip counts."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.backend.test.case.node import collect_testcases

import onnxcost
from onnxcost.errors import InputError
from onnxcost.frontend import loops
from onnxcost.frontend.trace import Trace
from onnxcost.report import CostReport
from tests.modeltext import model
from tests.test_models import true_shapes
from tests.traces import traced

X = np.array([1, 0, 2, 0, -3, 4], np.float32)

FOUND = """(float[6] x) => (float[N] y) {
    n = NonZero(x) t = Constant <value = int64[1] {-1}> () i = Reshape(n, t) g = Gather(x, i) y = Relu(g) }"""
BRANCHES = """then_branch = t () => (float[N] a) { a = Relu(x) },
    else_branch = e () => (float[N] b) { k = Neg(x) b = Relu(k) }"""
BY_DATA = f"""(float[6] x) => (float[N] y) <float zero = {{0}}> {{
    s = ReduceSum <keepdims = 0> (x) c = Greater(s, zero) y = If (c) <{BRANCHES}> }}"""
CARRIED = """body = b (int64 i, bool c, float[6] s) => (bool co, float[6] so, float[6] scanned) {
    co = Identity(c) so = Relu(s) scanned = Neg(so) }"""
GROWING = """body = b (int64 i, bool c, float[N] s) => (bool co, float[M] so) {
    co = Identity(c) so = Concat <axis = 0> (s, x) }"""
INNER = """body = b2 (int64 i2, bool c2, float[6] s2) => (bool co2, float[6] so2) { co2 = Identity(c2) so2 = Relu(s2) }"""
TRIANGLE = f"""body = b (int64 i, bool c, float[6] s) => (bool co, float[6] so) {{
    co = Identity(c) so = Loop(i, , s) <{INNER}> }}"""
SQUARE = f"body = b (int64 i, bool c, float[6] s) => (bool co, float[6] so) {{ co = Identity(c) so = Loop(n, , s) <{INNER}> }}"
HALVES = """body = b (int64 i, bool c, float[6] s) => (bool co, float[6] so) {
    h = Mul(s, half) m = ReduceMax <keepdims = 0> (h) co = Greater(m, half) so = Relu(h) }"""
ODD_EVEN = """body = b (int64 i, bool c, float[6] s) => (bool co, float[6] so) {
    co = Identity(c) r = Mod(i, two) o = Cast <to = 9> (r) so = If (o) <
        then_branch = t () => (float[6] a) { a = Relu(s) },
        else_branch = e () => (float[6] b) { k = Neg(s) b = Relu(k) }> }"""
POSITIVE = """body = b (float[6] si, float[3] xi) => (float[6] so, float[3] yo) {
    so = Identity(si) yo = Neg(xi) z = Constant <value = float {0}> () p = Greater(xi, z) f = Compress(xi, p) g = Relu(f) }"""

# a model that data decides, what it is run with, and what makes the same known without a run
BY_HAND: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "the branch of an If": (
        f"(float[6] x, bool c) => (float[N] y) {{ y = If (c) <{BRANCHES}> }}", {"c": False}, {"values": {"c": False}},
    ),
    "the trips of a Loop": (
        f"(float[6] x, int64 n) => (float[6] y, float[N,6] z) {{ y, z = Loop(n, , x) <{CARRIED}> }}",
        {"n": 7}, {"trips": {"Loop_0": 7}},
    ),
    "no trips": (
        f"(float[6] x, int64 n) => (float[6] y, float[N,6] z) {{ y, z = Loop(n, , x) <{CARRIED}> }}",
        {"n": 0}, {"trips": {"Loop_0": 0}},
    ),
    "a Loop in a Loop": (
        f"(float[6] x, int64 n) => (float[6] y) {{ y = Loop(n, , x) <{SQUARE}> }}",
        {"n": 3}, {"trips": {"Loop_0": 3, "Loop_0/Loop_1": 3}},
    ),
    "a shape that grows": (
        f"(float[6] x, int64 n) => (float[N] y) {{ y = Loop(n, , x) <{GROWING}> }}", {"n": 3}, {"values": {"n": 3}},
    ),
    "a slice of each iteration": (
        """(float[6] x, int64 n) => (float[N] y) <int64[1] zero = {0}> { y = Loop(n, , x) <
            body = b (int64 i, bool c, float[N] s) => (bool co, float[M] so) {
                co = Identity(c) e = Unsqueeze(i, zero) so = Slice(x, zero, e) }> }""",
        {"n": 3}, {"values": {"n": 3}},
    ),
    "a length that an input says": (
        "(float[6] x, int64[1] k) => (float[N] y) { v, w = TopK(x, k) y = Relu(v) }",
        {"k": np.array([2])}, {"values": {"k": [2]}},
    ),
}  # fmt: skip

# model, what it is run with, FLOPs: Relu, Neg, Mul, Greater, Mod 1 an element, ReduceMax and ReduceSum n - 1, NonZero n
COUNTED: dict[str, tuple[str, dict[str, Any], int]] = {
    "NonZero, Gather": (FOUND, {"x": X}, 6 + 4),
    "an If on what was computed": (BY_DATA, {"x": X}, 5 + 1 + 6),
    "its other branch": (BY_DATA, {"x": -X}, 5 + 1 + 12),
    "trips that differ within a Loop": (
        f"(float[6] x, int64 n) => (float[6] y) {{ y = Loop(n, , x) <{TRIANGLE}> }}", {"n": 5}, 6 * (0 + 1 + 2 + 3 + 4),
    ),
    "a Loop that data ends": (  # 4 becomes 2, 1, 0.5: the third time the maximum is no longer greater
        f"(float[6] x) => (float[6] y) <float half = {{0.5}}> {{ y = Loop(, , x) <{HALVES}> }}", {"x": X}, 3 * (6 + 5 + 1 + 6),
    ),
    "an If in a Loop": (
        f"(float[6] x, int64 n) => (float[6] y) <int64 two = {{2}}> {{ y = Loop(n, , x) <{ODD_EVEN}> }}",
        {"n": 5}, 2 * (1 + 6) + 3 * (1 + 12),
    ),
    "what data decides in a Scan": (
        f"""(float[6] s, float[2,3] x) => (float[6] y, float[2,3] z) {{
            y, z = Scan <num_scan_inputs = 1, {POSITIVE}> (s, x) }}""",
        {"x": X.reshape(2, 3)}, 2 * (3 + 3) + 2 + 1,
    ),
    "what data decides in a SequenceMap": (
        """(float[2,3] x) => (float[M] y) { s = SplitToSequence <keepdims = 0> (x) m = SequenceMap (s) <
            body = b (float[3] e) => (float[K] r) {
                z = Constant <value = float {0}> () p = Greater(e, z) f = Compress(e, p) r = Relu(f) }>
            y = ConcatFromSequence <axis = 0> (m) }""",
        {"x": X.reshape(2, 3)}, 2 * 3 + 2 + 1,
    ),
    "a branch of constants": (
        """(float[6] x) => (float y) <float zero = {0}> { s = ReduceSum <keepdims = 0> (x) c = Greater(s, zero) y = If (c) <
            then_branch = t () => (float a) { a = Constant <value = float {1}> () },
            else_branch = e () => (float b) { b = ReduceMax <keepdims = 0> (x) }> }""",
        {"x": X}, 5 + 1,
    ),
    "iterations that differ only in what they read": (
        """(float[6] x, int64 n) => (float[2] y, float[N] z) <int64[1] zero = {0}, int64[1] two = {2}> { y, z = Loop(n, , x) <
            body = b (int64 i, bool c, float[N] s) => (bool co, float[2] so, float m) {
                co = Identity(c) so = Slice(s, zero, two) m = ReduceMax <keepdims = 0> (s) }> }""",
        {"n": 4}, 5 + 3 * 1,
    ),
    "an operator that is run as the nodes of its function": (
        "(float[6] x, int64[1] n) => (float[N] y) { k = Abs(n) c = CenterCropPad <axes = [0]> (x, k) y = Relu(c) }",
        {"n": np.array([-4])}, 1 + 4,
    ),
}  # fmt: skip


def rows(report: CostReport) -> list[tuple]:
    shapes = {
        cost.node.name: [tensor and (tensor.dims, tensor.is_bound) for tensor in cost.node.outputs] for cost in report.costs
    }
    return sorted(
        (each.node.name, each.node.repeat, each.work, each.traffic, shapes[each.node.name]) for each in report.counted
    )


def retold(proto: onnx.ModelProto, fed: dict[str, Any], **arguments: Any) -> CostReport:
    """The report of what a run with these values showed."""
    return onnxcost.estimate(proto, trace=traced(proto, fed, **arguments), **arguments)


def is_exact(report: CostReport) -> bool:
    return (report.uncounted, report.bound) == ((), "") and report.caveats[0].text.startswith("traced: ")


@pytest.mark.parametrize(("text", "values", "arguments"), BY_HAND.values(), ids=BY_HAND.keys())
def test_a_trace_says_what_can_be_said_by_hand(text: str, values: dict, arguments: dict) -> None:
    report, static = retold(model(text), values), onnxcost.estimate(model(text), **arguments)
    assert is_exact(report)
    assert rows(report) == rows(static)
    # A node of the trace knows no values of inputs, one of the estimate does.
    peaks = [each.memory.peak._replace(node=each.memory.peak.node.name) for each in (report, static)]
    assert (report.memory, peaks[0]) == (static.memory, peaks[1])
    assert [t.dims for t in report.graph.outputs] == [t.dims for t in static.graph.outputs]


@pytest.mark.parametrize(("text", "values", "flops"), COUNTED.values(), ids=COUNTED.keys())
def test_a_trace_decides_what_data_decides(text: str, values: dict[str, Any], flops: int) -> None:
    report = retold(model(text, opset=18), values)
    assert is_exact(report)
    assert report.flops == flops


@pytest.mark.parametrize("text", [FOUND, BY_DATA])
def test_shapes_are_those_of_the_run(text: str) -> None:
    report = retold(model(text), {"x": X})
    found = {t.name: t.shape for node in report.graph.nodes for t in node.outputs if t is not None}
    truth = true_shapes(model(text), {"x": X})
    assert {name: found[name] for name in truth} == truth


def test_equal_iterations_are_one_row() -> None:
    text, values, _ = COUNTED["an If in a Loop"]
    repeats = {cost.node.name: cost.node.repeat for cost in retold(model(text), values).costs if cost.node.op_type == "Relu"}
    assert repeats == {"Loop_0/0/If_3/Relu_1": 3, "Loop_0/1/If_3/Relu_0": 2}


def test_more_different_iterations_than_are_followed_make_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "FOLLOWED", 10)
    text, values, _ = BY_HAND["a shape that grows"]
    report = retold(model(text), values | {"n": 9})
    assert report.bound == "lower"
    assert any("4 of its 9 iterations" in caveat.text for caveat in report.caveats)


def test_a_count_that_depends_on_data_stays_an_upper_bound() -> None:
    text = "(float[1,6,4] b, float[1,2,6] s) => (int64[N,3] y) <int64[1] m = {3}> { y = NonMaxSuppression(b, s, m) }"
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (1, 6, 1))
    report = retold(model(text), {"b": boxes, "s": np.ones((1, 2, 6), np.float32)})
    assert [t.dims for t in report.graph.outputs] == [(2, 3)]
    assert [caveat.kind for caveat in report.caveats] == ["note", "upper"]


@pytest.mark.parametrize("ir_version", [3, 8, 10])
def test_bodies_of_every_version_of_the_format_are_traced(ir_version: int) -> None:
    proto = model("(float[6] x, bool c) => (float[6] y) { y = If (c) <" + BRANCHES + "> }", opset=8 if ir_version == 3 else 17)
    proto.ir_version = ir_version
    assert retold(proto, {"c": True}).flops == 6


def test_nodes_of_functions_are_traced() -> None:
    functions = """<domain: "local", opset_import: ["" : 17]> Kept (x) => (y) {
        n = NonZero(x) t = Constant <value = int64[1] {-1}> () i = Reshape(n, t) y = Gather(x, i) }"""
    text = "(float[6] x) => (float[N] y) { k = local.Kept(x) r = Relu(k) l = local.Kept(r) y = Relu(l) }"
    report = retold(model(text, functions=functions, domains=', "local" : 1'), {"x": X})
    assert is_exact(report)
    assert report.flops == 6 + 4 + 4 + 3


def test_names_in_the_model_can_be_any_and_the_same() -> None:
    proto = model(BY_HAND["the branch of an If"][0].replace("k = Neg(x) b = Relu(k)", '"k/%2F" = Neg(x) b = Relu("k/%2F")'))
    for node in (proto.graph.node[0], *(n for a in proto.graph.node[0].attribute for n in a.g.node)):
        node.name = 'the "same" name'
    assert retold(proto, {"c": False}).flops == 12


def test_nodes_need_not_be_in_order() -> None:
    proto = model(FOUND)
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(nodes))
    assert retold(proto, {"x": X}).flops == 10


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shapes": {"x": (3,)}}, r"input 'x' is \[3\], but was \[6\] in the traced run"),
        ({"trips": {"Loop_0": 1}}, "omit --trips"),
    ],
)
def test_what_contradicts_the_run_is_refused(changed: dict[str, Any], said: str) -> None:
    proto = model("(float[N] x, int64 n) => (float[N] y) { y = Relu(x) }")
    trace = traced(proto, {}, shapes={"x": (6,)})
    with pytest.raises(InputError, match=said):
        onnxcost.estimate(proto, trace=trace, **{"shapes": {"x": (6,)}, **changed})


def test_the_report_says_whether_the_values_were_made_up() -> None:
    proto = model("(float[6] x) => (float[6] y) { y = Relu(x) }")
    assert "synthetic values for 'x'; set real ones with --input" in retold(proto, {}).warnings[0]
    assert "the given values" in retold(proto, {"x": X}).warnings[0]


def test_without_what_was_fed_a_trace_still_decides() -> None:
    trace = traced(model(FOUND), {"x": X})
    assert onnxcost.estimate(model(FOUND), trace=Trace(trace.main)).flops == 10


DATA_DECIDES = {
    "Compress", "ConcatFromSequence", "If", "Loop", "NonMaxSuppression", "NonZero", "Range", "Scan", "SequenceMap",
    "SplitToSequence", "StringSplit", "TopK", "Unique",
}  # fmt: skip
AT_MOST = {"NonMaxSuppression"}


def node_cases() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    return [case for case in cases if DATA_DECIDES & {node.op_type for node in case.model.graph.node}]


@pytest.fixture(scope="module")
def retold_cases() -> list[tuple[str, CostReport, list[Any]]]:
    """onnx's own cases that onnxruntime can run: their names, reports and true outputs."""
    found = []
    for case in node_cases():
        values = dict(zip((i.name for i in case.model.graph.input), case.data_sets[0][0], strict=True))
        try:
            session = onnxruntime.InferenceSession(case.model.SerializeToString(), providers=["CPUExecutionProvider"])
            outputs = session.run(None, {name: as_fed(value) for name, value in values.items()})
        except Exception:  # an operator, or a type for it, that onnxruntime lacks
            continue
        shapes = {name: np.shape(value) for name, value in values.items() if not isinstance(value, list)}
        held = {name: value for name, value in values.items() if isinstance(value, list)}
        found.append((case.name, retold(case.model, values, shapes=shapes, values=held), outputs))
    return found


def as_fed(value: Any) -> Any:
    return value if isinstance(value, list) else np.asarray(value)


def test_nothing_is_left_open_in_cases_that_run(retold_cases) -> None:
    assert len(retold_cases) > 100
    assert {name: [each.reason for each in report.uncounted] for name, report, _ in retold_cases if report.uncounted} == {}


def test_only_counts_that_no_shape_decides_are_bounds(retold_cases) -> None:
    bounds = {node.op_type for _, report, _ in retold_cases if report.bound for node in report.graph.nodes}
    assert bounds - {"Constant"} == AT_MOST


def test_outputs_have_the_shapes_of_the_run(retold_cases) -> None:
    wrong = [
        (name, found.dims, np.shape(true))
        for name, report, outputs in retold_cases
        for found, true in zip(report.graph.outputs, outputs, strict=True)
        if isinstance(true, np.ndarray) and (found.dims, found.is_bound) != (true.shape, False)
    ]
    assert wrong == []


def test_weights_and_their_files_stay(tmp_path: Path) -> None:
    proto = model("(float[2,300] x, bool c) => (float[2,400] y) { y = If (c) <"
                  "then_branch = t () => (float[2,400] a) { a = MatMul(x, w) },"
                  "else_branch = e () => (float[2,400] b) { k = MatMul(x, w) b = Relu(k) }> }", w=(300, 400))  # fmt: skip
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    report = onnxcost.estimate(tmp_path / "m.onnx", trace=traced(tmp_path / "m.onnx", {"c": True}))
    assert (report.macs, report.bound) == (2 * 300 * 400, "")
    assert {each.name for each in tmp_path.iterdir()} == {"m.onnx", "weights.bin"}
