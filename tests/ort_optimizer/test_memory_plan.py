"""The buffers that are planned for activations and the peak of those alive, by hand and beside onnxruntime's own."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import onnxcost
from onnxcost.errors import UnknownShape
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.ort_optimizer.memory_plan import (
    IN_PLACE,
    Buffer,
    _kind,
    buffers_of,
    footprint_of,
    footprints_of,
    input_bytes,
    largest_live_sum,
    least_activation_bytes,
    plan_memory,
)
from onnxcost.ort_optimizer.pipeline import optimize, order_of_execution
from tests import modeltext
from tests.graphs import graph, node, tensor
from tests.ort_optimizer.oracle import why_not
from tests.test_models import LIGHT, MODELS, with_weights

X, Y, Z = (tensor(name, 10) for name in "xyz")  # 40 bytes each


def weight(name: str, *dims: int, dtype: str = "float32") -> Tensor:
    return tensor(name, *dims, dtype=dtype, constant=True)


A, B, C, D = (tensor(name, 10) for name in "abcd")
BIG = tensor("big", 100)  # 400 bytes
END = tensor("end", 1)  # 4 bytes
P, Q, R = (tensor(name, 1, 2, 3, 3) for name in "pqr")  # 72 bytes each
PADDED = tensor("padded", 1, 2, 5, 5)  # 200 bytes
KERNEL, SCALE = weight("w", 2, 2, 3, 3), weight("s", 2, 1, 1)

# graph, peak: the comment says what is alive at the peak
PEAKS = {
    "no nodes": (graph([X], [X]), 40),
    "one node": (graph([X], [Y], node("Softsign", [X], [Y])), 80),  # x, y: the caller's input is not written over
    "a chain that cannot be in place": (graph([X], [B], node("MatMul", [X, X], [A]), node("MatMul", [A, A], [B])), 120),
    "what is returned has a buffer of its own": (  # x, a, b
        graph([X], [B], node("MatMul", [X, X], [A]), node("Relu", [A], [B])), 120
    ),
    "what is read twice is not written over": (  # x, a, b
        graph([X], [END], node("MatMul", [X, X], [A]), node("com.microsoft.FusedConv", [A, KERNEL, None, A], [B]),
              node("ReduceSum", [B], [END])), 120,
    ),
    "what is of fewer bytes is written elsewhere": (  # x, a, b of halves
        graph([X], [END], node("MatMul", [X, X], [A]), node("Cast", [A], [tensor("b", 10, dtype="float16")]),
              node("ReduceSum", [tensor("b", 10, dtype="float16")], [END])), 100,
    ),
    "a residual": (  # x, a, b, c: a sum has a buffer of its own
        graph([X], [C], node("MatMul", [X, X], [A]), node("MatMul", [A, A], [B]), node("Add", [A, B], [C])), 160
    ),
    "a residual of a fused convolution": (  # x, a, b, which c is written over; then x, c, end
        graph([X], [END], node("MatMul", [X, X], [A]), node("MatMul", [X, X], [B]),
              node("com.microsoft.FusedConv", [A, KERNEL, None, B], [C]), node("ReduceSum", [C], [END])), 120,
    ),
    "a view takes no room": (  # x, a and its view b, end
        graph([X], [END], node("MatMul", [X, X], [A]), node("Reshape", [A], [B]), node("ReduceSum", [B], [END])), 84
    ),
    "a view that is returned is a copy": (graph([X], [A], node("Reshape", [X], [A])), 80),
    "a view keeps its source alive": (  # x, a (alive in its view b), c, d
        graph([X], [D], node("MatMul", [X, X], [A]), node("Reshape", [A], [B]), node("MatMul", [X, X], [C]),
              node("MatMul", [C, B], [D])), 160,
    ),
    "what nobody reads lives to the end": (  # x, a, big, b
        graph([X], [B], node("MatMul", [X], [A, BIG]), node("MatMul", [A], [B])), 520
    ),
    "the peak lies inside": (graph([X], [A], node("Expand", [X], [BIG]), node("ReduceSum", [BIG], [A])), 480),
    "outputs live to the end": (graph([X], [A, B], node("MatMul", [X], [A]), node("MatMul", [X], [B])), 120),
    "an input that nobody reads is none": (graph([X, BIG], [A], node("MatMul", [X], [A])), 80),
    "constants are no activations": (graph([X], [A], node("MatMul", [X, weight("w", 100)], [A])), 80),
    "nor is what is computed of them alone": (
        graph([X], [A], node("Transpose", [weight("w", 100)], [weight("v", 100)]),
              node("MatMul", [X, weight("v", 100)], [A])), 80,
    ),
    "weights are expanded right before they are used": (  # x, a, v, b; then x, b, v2, c
        graph([X], [C], node("DequantizeLinear", [weight("q", 100, dtype="int8"), SCALE], [weight("v", 100)]),
              node("DequantizeLinear", [weight("q2", 100, dtype="int8"), SCALE], [weight("v2", 100)]),
              node("MatMul", [X, X], [A]), node("MatMul", [A, weight("v", 100)], [B]),
              node("MatMul", [B, weight("v2", 100)], [C])), 520,
    ),
    "a padded input of a convolution is not stored": (  # p, r
        graph([P], [R], node("Pad", [P], [PADDED]), node("Conv", [PADDED, KERNEL], [R])), 144
    ),
    "one padded with something else is": (  # p, padded, r
        graph([P], [R], node("Pad", [P], [PADDED], mode="reflect"), node("Conv", [PADDED, KERNEL], [R])), 344
    ),
    "scales and shifts are folded into a convolution": (  # p, r
        graph([P], [R], node("Conv", [P, KERNEL], [Q]), node("Mul", [Q, SCALE], [tensor("q2", 1, 2, 3, 3)]),
              node("Add", [tensor("q2", 1, 2, 3, 3), SCALE], [R])), 144,
    ),
    "not where another node reads what it made": (  # p, q, r
        graph([P], [Q, R], node("Conv", [P, KERNEL], [Q]), node("Mul", [Q, SCALE], [R])), 216
    ),
    "a convolution adds its residual": (  # p, q, which the sum is written over; then p, the sum, end
        graph([P], [END], node("MatMul", [P], [Q]), node("Conv", [P, KERNEL], [R]),
              node("Add", [R, Q], [tensor("t", 1, 2, 3, 3)]), node("ReduceSum", [tensor("t", 1, 2, 3, 3)], [END])), 148,
    ),
    "not one that is broadcast": (  # p, r, t
        graph([P], [END], node("GlobalAveragePool", [P], [tensor("m", 1, 2, 1, 1)]), node("Conv", [P, KERNEL], [R]),
              node("Add", [R, tensor("m", 1, 2, 1, 1)], [tensor("t", 1, 2, 3, 3)]),
              node("ReduceSum", [tensor("t", 1, 2, 3, 3)], [END])), 224,
    ),
    "a sigmoid is merged into what it gates": (  # x, a, b
        graph([X], [END], node("MatMul", [X, X], [A]), node("Sigmoid", [A], [C]), node("Mul", [A, C], [B]),
              node("ReduceSum", [B], [END])), 120,
    ),
    "not into what it does not gate": (  # x, a, c, b
        graph([X], [END], node("MatMul", [X, X], [A]), node("Sigmoid", [A], [C]), node("Add", [A, C], [B]),
              node("ReduceSum", [B], [END])), 160,
    ),
    "of a node that does not fit its operator nothing is fused": (  # x, a, b
        graph([X], [B], node("MatMul", [X], [A]), node("Add", [A, weight("s", 10)], [B])), 120
    ),
    "an open shape": (graph([X], [A], node("NonZero", [X], [tensor("a", None)])), None),
}  # fmt: skip


@pytest.mark.parametrize(("model", "peak"), PEAKS.values(), ids=PEAKS.keys())
def test_the_least_that_activations_need(model: Graph, peak: int | None) -> None:
    if peak is None:
        with pytest.raises(UnknownShape):
            least_activation_bytes(model)
    else:
        assert least_activation_bytes(model) == peak


H1, H2 = tensor("h1", 1, 64), tensor("h2", 1, 64)
IMAGE, THIN = tensor("image", 1, 16, 4, 4), tensor("thin", 1, 8, 4, 4)  # 1,024 and 512 bytes


def test_the_peak_is_named() -> None:
    """Where has two copies of its output beside m (64 bytes), h1 and h2 (256 bytes each)."""
    mask = tensor("m", 1, 64, dtype="bool")
    where = node("Where", [mask, H1, H1], [H2])
    model = graph([mask], [END], node("Cast", [mask], [H1]), where, node("ReduceSum", [H2], [END]))
    plan = plan_memory(model)
    assert plan.curve == [64 + 256, 64 + 2 * 256 + 2 * 256, 64 + 256 + 4]
    peak = plan.peak
    assert (peak.nbytes, peak.node and peak.node.name, peak.workspace) == (1088, "make_h2", 512)
    assert peak.tensors == {"h1": 256, "h2": 256, "m": 64}


@pytest.mark.parametrize("block", [16, 8])
def test_channels_are_padded_to_whole_blocks(block: int) -> None:
    """The convolution makes a block of channels of which 8 are returned, in a buffer of their own."""
    plan = plan_memory(graph([IMAGE], [THIN], node("Conv", [IMAGE, weight("k", 8, 16, 1, 1)], [THIN])), block)
    assert [node.op_type for node in plan.nodes] == ["Reorder", "Conv", "Reorder"]
    assert plan.curve == [1024 + 1024, 1024 + 1024 + 64 * block, 1024 + 64 * block + 512]


def test_an_absent_bias_changes_nothing() -> None:
    kernel = weight("k", 8, 16, 1, 1)
    plans = [plan_memory(graph([IMAGE], [THIN], node("Conv", [IMAGE, kernel, *absent], [THIN]))) for absent in ([], [None])]
    assert plans[0].curve == plans[1].curve


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (node("Reorder", [IMAGE], [IMAGE], channels_last=1), (1, 4, 4, 16, 32)),
        (node("Reorder", [THIN], [THIN], channels_last=1), (1, 4, 4, 8, 32)),
        (node("Reorder", [IMAGE], [IMAGE]), (1, 16, 4, 4, 32)),
        (node("MatMul", [H1, weight("w", 64, 64)], [H2], channels_last=1), (1, 64, 32)),
    ],
)
def test_values_of_equal_dims_as_they_lie_can_share_a_buffer(made: Node, kind: tuple[int, ...]) -> None:
    """The dims in the order of memory, and the bits of an element."""
    assert _kind(graph([IMAGE], [made.out], made), made, made.out) == kind


def test_without_blocks_nothing_is_padded() -> None:
    plan = plan_memory(graph([IMAGE], [THIN], node("Conv", [IMAGE, weight("k", 8, 16, 1, 1)], [THIN])), 0)
    assert plan.curve == [1024 + 512]


@pytest.mark.parametrize(
    ("symbols", "peak"),
    [
        pytest.param(None, 200, id="fixed"),  # x; a's buffer waits for d, beside b and c
        pytest.param({"a": ("n",), "b": ("m",), "c": ("m",), "d": ("n",)}, 200, id="by its symbol"),
        pytest.param({"a": ("n",), "b": (20,), "c": (20,), "d": (None,)}, 160, id="not known"),
    ],
)
def test_a_buffer_waits_where_onnxruntime_knows_that_a_value_fits(
    symbols: dict[str, tuple[str | int | None, ...]] | None, peak: int
) -> None:
    values = [tensor(name, 20 if name in "bc" else 10) for name in "xabcdy"]
    nodes = [node("Neg", [before], [after]) for before, after in pairwise(values)]
    model = replace(graph(values[:1], values[-1:], *nodes), symbolic_dims=symbols)
    assert plan_memory(model).peak.nbytes == peak + 40


def test_an_if_takes_what_the_branch_takes_that_takes_more() -> None:
    """Beside x (40 bytes) h1 and h2 of 256 bytes each, before the output is made; in the other branch the output alone."""
    then = (node("MatMul", [X], [H1]), node("MatMul", [H1], [H2]), node("MatMul", [H2], [A]))
    choice = replace(node("If", [X], [A]), branches={"then": then, "else": (node("MatMul", [X], [A]),)})
    plan = plan_memory(graph([X], [A], choice))
    assert plan.curve == [40 + 2 * 256]


@pytest.mark.parametrize(
    ("weights", "shape"),
    [
        pytest.param(weight("w", 8, 8), (4, 8), id="weights and a bias: Gemm makes a matrix"),
        pytest.param(tensor("v", 2, 8, 8), (2, 2, 8), id="a product of two values"),
    ],
)
def test_the_shape_of_what_gemm_makes(weights: Tensor, shape: tuple[int, ...]) -> None:
    """Its buffer is not used again for a value of the reshaped dims, which a product's is."""
    rows, made, other, last = (tensor(name, 2, 2, 8) for name in ("rows", "made", "other", "last"))  # 128 bytes each
    product = node("MatMul", [rows, weights, weight("b", 8)], [made])
    inputs = [rows] if weights.is_constant else [rows, weights]
    model = graph(inputs, [END], product, node("Neg", [made], [other]), node("Neg", [other], [last]),
                  node("ReduceSum", [last], [END]))  # fmt: skip
    kept = [buffer for buffer in plan_memory(model).buffers if buffer.size == 128]
    assert len(kept) == (3 if len(shape) == 2 else 2)


LOOPS = {  # the peak of onnxruntime 1.32's arena together with the inputs, in buffers of a state S
    "one": ("(S x)", "y = Loop(n, , x) <body = b (int64 i, bool c, S s) => (bool k, S o) { k = Identity(c) o = Exp(s) }>", 4),
    "once": ("(S x)", "y = Loop(o, , x) <body = b (int64 i, bool c, S s) => (bool k, S o) { k = Identity(c) o = Exp(s) }>", 3),
    "a value inside": (
        "(S x)", """y = Loop(n, , x) <body = b (int64 i, bool c, S s) => (bool k, S so) {
            k = Identity(c) e = Exp(s) so = Add(e, s) }>""", 4,
    ),
    "between other nodes": (
        "(S x)", """h = Exp(x) v = Loop(n, , h) <body = b (int64 i, bool c, S s) => (bool k, S so) {
            k = Identity(c) so = Exp(s) }> y = Exp(v)""", 5,
    ),
    "weights that are handed on": (
        "(S x, S w)", """y, u = Loop(n, , x, w) <body = b (int64 i, bool c, S s, S v) => (bool k, S so, S vo) {
            k = Identity(c) so = Exp(s) vo = Identity(v) }>""", 6,
    ),
    "an output that is stacked": (
        "(S x)", """y, z = Loop(n, , x) <body = b (int64 i, bool c, S s) => (bool k, S so, S e) {
            k = Identity(c) so = Exp(s) e = Neg(so) }>""", 14,
    ),
    "a Scan": (
        "(S q, float[7,256,64] x)", """s = Exp(q) h = Exp(x) y = Scan <num_scan_inputs = 1, body = b (S a, S i) => (S so) {
            so = Add(a, i) }> (s, h)""", 19,
    ),
    "a Scan of two": (
        "(S q, float[2,256,64] x)", """s = Exp(q) h = Exp(x) y = Scan <num_scan_inputs = 1, body = b (S a, S i) => (S so) {
            so = Add(a, i) }> (s, h)""", 8,
    ),
    "a Scan that stacks": (
        "(S q, float[7,256,64] x)", """s = Exp(q) h = Exp(x) y, z = Scan <num_scan_inputs = 1,
            body = b (S a, S i) => (S so, S e) { so = Add(a, i) e = Exp(so) }> (s, h)""", 26,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("inputs", "nodes", "buffers"), LOOPS.values(), ids=LOOPS.keys())
def test_loops_hold_their_states_and_what_they_stack(inputs: str, nodes: str, buffers: int) -> None:
    text = f"{inputs} => (S y) <int64 n = {{5}}, int64 o = {{1}}> {{ {nodes} }}".replace("S ", "float[256,64] ")
    found = plan_memory(modeltext.graph_of(modeltext.model(text))).peak.nbytes
    assert round(found / (4 * 256 * 64), 2) == buffers


def test_without_nodes_the_inputs_are_all() -> None:
    assert plan_memory(graph([X], [X])).peak == (40, None, {"x": 40}, 0)


@pytest.mark.parametrize(
    ("sources", "order"),
    [
        pytest.param({"a": "x", "b": "x", "c": "ab"}, "bac", id="of two inputs the later one first"),
        pytest.param({"a": "x", "b": "a", "c": "x", "d": "cb"}, "cabd", id="with all that it needs"),
        pytest.param({"a": "x", "b": "x"}, "ba", id="of two outputs the later one first"),
    ],
)
def test_nodes_run_as_in_onnxruntime(sources: dict[str, str], order: str) -> None:
    nodes = [node("MatMul", [tensor(name, 10) for name in read], [tensor(made, 10)]) for made, read in sources.items()]
    found = order_of_execution(nodes, [(0, place) for place in range(len(nodes))])
    assert "".join(nodes[place].out.name for place in found) == order


def allocated(model: bytes, feeds: dict[str, Any], level: str, folder: Path, *, are_kept: bool = False) -> list[dict[str, Any]]:
    """What onnxruntime's events say of each node's memory, in the order of their start; by default it keeps freed buffers."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.enable_mem_reuse = are_kept
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, feeds)
    events = json.loads(Path(session.end_profiling()).read_text())
    events = [event for event in events if "mem_bytes_requested_in_use" in event.get("args", {})]
    return [event["args"] for event in sorted(events, key=lambda event: event["ts"])]


FILLING = (
    *("Add(a, c)", "Mul(a, c)", "Neg(a)", "Exp(a)", "Sqrt(a)", "Erf(a)", "Gelu(a)", "PRelu(a, slope)", "Hardmax(a)"),
    *("BatchNormalization(a, s, s, s, s)", "com.microsoft.QuickGelu(a)", "com.microsoft.FusedConv(c, w, s, c)"),
)
"""Operators that fill a buffer of their own."""
OVER = (
    *(f"{name}(a)" for name in IN_PLACE if name not in {"Cast", "Scatter", "ScatterElements"} and IN_PLACE[name] == 0),
    *("Cast <to = 1> (a)", "ScatterElements(a, zero, one)", "com.microsoft.FusedConv(c, w, s, a)"),
)
"""Those that write over ``a``. Scatter is too old, and of onnxruntime's blocked convolution no model can be made by hand."""


@pytest.mark.parametrize(("call", "is_in_place"), [*((call, True) for call in OVER), *((call, False) for call in FILLING)])
def test_in_place_as_in_onnxruntime(call: str, is_in_place: bool, tmp_path: Path) -> None:
    proto = modeltext.model(
        f"""(float[1,8,4,4] x) => (float[1,8,4,4] y) {{
            zero = Constant <value = int64[1,1,1,1] {{0}}> ()
            one = Constant <value = float[1,1,1,1] {{1}}> ()
            a = Concat <axis = 0> (x)
            c = Concat <axis = 0> (x)
            made = {call}
            y = Concat <axis = 0> (made) }}""",
        opset=20, domains=', "com.microsoft" : 1', w=(8, 8, 1, 1), s=(8,), slope=(8, 1, 1),
    )  # fmt: skip
    nodes = allocated(proto.SerializeToString(), {"x": np.ones((1, 8, 4, 4), np.float32)}, "ORT_DISABLE_ALL", tmp_path)
    took = next(int(each["mem_requested_in_use_delta"]) for each in nodes if each["op_name"] in call)
    assert took == (0 if is_in_place else 8 * 4 * 4 * 4)


EXACT = (
    *(MODELS / f"{name}_pytorch.onnx" for name in ("mnist_cnn", "mobilenetv2")),
    *(MODELS / name for name in ("mobilenetv2_keras.onnx", "resnet18_int8_qdq.onnx")),
    *(path for path in LIGHT if path.stem in {"light_squeezenet", "light_inception_v2"}),
)
EXACT_KEPT = (
    *(path for path in EXACT if path.stem != "resnet18_int8_qdq"),
    *(path for path in LIGHT if path.stem == "light_densenet121"),
)


@pytest.mark.parametrize(
    ("path", "are_kept"),
    [
        *(pytest.param(path, False, id=path.stem) for path in EXACT),
        *(pytest.param(path, True, id=f"{path.stem}, kept") for path in EXACT_KEPT),
    ],
)
def test_the_peak_is_that_of_onnxruntime(path: Path, are_kept: bool, tmp_path: Path) -> None:
    """To the byte, whether or not it keeps free buffers, where it lays out nothing for the processor it runs on."""
    report = onnxcost.estimate(path)
    feeds = {tensor.name: np.ones(tensor.shape, np.dtype(tensor.dtype)) for tensor in report.graph.inputs}
    proto = with_weights(path).SerializeToString()
    nodes = allocated(proto, feeds, "ORT_ENABLE_EXTENDED", tmp_path, are_kept=are_kept)
    in_use = [int(each["mem_bytes_requested_in_use"]) for each in nodes]
    before = in_use[0] - int(nodes[0]["mem_requested_in_use_delta"])
    inputs = sum(array.nbytes for array in feeds.values())
    estimated = input_bytes(report.graph) + largest_live_sum(buffers_of(report.graph, are_kept=are_kept))
    assert estimated == max(in_use) - before + inputs
    assert are_kept or estimated == least_activation_bytes(report.graph)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize("name", ["mnist_cnn_pytorch", "mobilenetv2_keras", "ssdlite320_pytorch", "unet_pytorch"])
def test_the_plan_is_that_of_onnxruntime(name: str, tmp_path: Path) -> None:
    """To the byte, with all of its optimizations."""
    report = onnxcost.estimate(MODELS / f"{name}.onnx")
    feeds = {tensor.name: np.ones(tensor.shape, np.dtype(tensor.dtype)) for tensor in report.graph.inputs}
    events = allocated(
        with_weights(MODELS / f"{name}.onnx").SerializeToString(), feeds, "ORT_ENABLE_ALL", tmp_path, are_kept=True
    )
    in_use = [int(each["mem_bytes_requested_in_use"]) for each in events]
    before = in_use[0] - int(events[0]["mem_requested_in_use_delta"])
    plan = plan_memory(report.graph)
    without = plan._replace(workspaces=[0] * len(plan.nodes))
    assert without.peak.nbytes == max(in_use) - before + sum(plan.inputs.values())


@pytest.mark.parametrize(
    ("are_kept", "first", "peak"),
    [(False, [Buffer(40, 0, 1), Buffer(40, 3, 4)], 160), (True, [Buffer(40, 0, 4)], 200)],
    ids=["freed", "kept"],
)
def test_a_buffer_that_is_free_waits_for_a_value_of_its_dims(are_kept: bool, first: list[Buffer], peak: int) -> None:
    """x → a → b → c → d → y, of which b and c are twice as large: where a's buffer waits for d, it is there beside them."""
    values = [tensor(name, 20 if name in "bc" else 10) for name in "xabcdy"]
    nodes = [node("Neg", [before], [after]) for before, after in pairwise(values)]
    found = buffers_of(graph(values[:1], values[-1:], *nodes), are_kept=are_kept)
    assert sorted(found) == sorted([*first, Buffer(80, 1, 2), Buffer(80, 2, 3), Buffer(40, 4, 5, is_returned=True)])
    assert largest_live_sum(found) == peak


def test_the_working_set_of_a_loop_is_that_of_its_body() -> None:
    """An iteration reads w, 32 × 32 floats, and makes four rows of 32; before it, v has 128 × 128."""
    text = """(float[4,128] x, float[4,32] r) => (float[4,128] a, float[N,4,32] y) <int64 count = {7}, bool yes = {1}> {
        a = MatMul(x, v)
        y = Loop (count, yes) <body = b (int64 i, bool c) => (bool d, float[4,32] s) { d = Identity(c) s = MatMul(r, w) }> }"""
    made = modeltext.graph_of(modeltext.model(text, opset=18, w=(32, 32), v=(128, 128)))
    steps = list(optimize(made, blocked=False))
    sizes = [size for step, size in zip(steps, footprints_of(made, steps), strict=True) if step.node.op_type == "MatMul"]
    whole = footprint_of(made, steps)
    assert whole >= 4 * (32 * 32 + 128 * 128)
    assert max(sizes) == whole
    assert 4 * (32 * 32 + 4 * 32) <= min(sizes) < 4 * 128 * 128


HALVES = (
    "t = Conv(x, k) y = Relu(t)",
    "t = Conv(x, k) u = Sigmoid(t) v = Conv(u, k) y = Add(v, x)",
    "t = Transpose<perm = [0, 2, 3, 1]>(x) u = Add(t, t) v = Erf(u) y = Transpose<perm = [0, 3, 1, 2]>(v)",
    "t = Concat<axis = 1>(x, x) u = Split<axis = 1, num_outputs = 2>(t) y = Identity(u)",
    "t = MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x) u = Neg(t) y = Mul(u, x)",
)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize("body", HALVES)
def test_halves_take_the_memory_of_floats_on_a_cpu(body: str, tmp_path: Path) -> None:
    """Few operators have a kernel for float16: the others read and write copies in float32."""
    body = body.replace("u = Split", "u, rest = Split")
    text = f"(float16[1,8,16,16] x) => (float16[1,8,16,16] y) {{ k = Cast<to = 10>(w) {body} }}"
    made = modeltext.model(text, opset=18, w=(8, 8, 1, 1))
    feeds = {"x": np.ones((1, 8, 16, 16), np.float16)}
    nodes = allocated(made.SerializeToString(), feeds, "ORT_ENABLE_ALL", tmp_path, are_kept=True)
    in_use = [int(each["mem_bytes_requested_in_use"]) for each in nodes]
    before = in_use[0] - int(nodes[0]["mem_requested_in_use_delta"])
    assert onnxcost.estimate(made).memory.peak_activation_bytes == max(in_use) - before + 2 * 8 * 16 * 16
