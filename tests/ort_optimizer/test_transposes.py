"""Where Transposes come to lie, and what becomes a Split: the nodes that onnxruntime makes of the same model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import onnx
import pytest

from onnxcost.graph import Graph
from onnxcost.ort_optimizer.fusion import fold_constants
from onnxcost.ort_optimizer.memory_plan import plan_memory
from onnxcost.ort_optimizer.splits import join_slices
from onnxcost.ort_optimizer.transposes import push_transposes
from tests.graphs import graph, node, tensor
from tests.modeltext import graph_of, model
from tests.ort_optimizer.oracle import optimised, why_not

WITHOUT = ("MatmulTransposeFusion", "MatMulScaleFusion", "QuickGeluFusion", "CommonSubexpressionElimination", "MatMulAddFusion")
"""Passes that would hide what these do."""
CONSTANTS = (
    "int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}, int64[1] a0 = {0}, int64[1] a1 = {1}, int64[1] a2 = {2}, int64[1] a3 = {3}"
)
TURN = "t = Transpose<perm = [1, 0, 2]>(a)"
ROW = "g = ReduceMax<keepdims = 0>(a, a0) k = ReduceMax<keepdims = 0>(g, a0)"
HEADS = "t = Transpose<perm = [2, 0, 3, 1, 4]>(a)"
GATHERED = f"{HEADS} q = Gather<axis = 0>(t, i0) k = Gather<axis = 0>(t, i1) v = Gather<axis = 0>(t, i2)"
SLICED = f"{HEADS} q = Slice(t, a0, a1, a0) k = Slice(t, a1, a2, a0) v = Slice(t, a2, a3, a0)"
SCORED = "z = Transpose<perm = [0, 1, 3, 2]>(k) s = MatMul(q, z) p = Softmax(s) y = MatMul(p, v)"
SCORED_5D = "z = Transpose<perm = [0, 1, 2, 4, 3]>(k) s = MatMul(q, z) p = Softmax(s) y = MatMul(p, v)"
BODIES = [
    # Past what reduces, and to the next Transpose, but not where nothing is gained.
    ("6,3,4", f"{TURN} r = ReduceMean<keepdims = 0>(t, a0) y = MatMul(r, w)"),
    ("6,3,4", f"{TURN} r = ReduceMean(t, a2) y = Sub(t, r) z = Neg(y)"),
    ("6,3,4", f"{TURN} r = Relu(t) y = MatMul(r, w)"),
    ("6,3,4", f"{TURN} r = Relu(t) s = Sqrt(r) u = Transpose<perm = [1, 0, 2]>(s) y = MatMul(u, w)"),
    ("6,3,4", f"{TURN} r = Relu(t) u = Transpose<perm = [0, 2, 1]>(r) y = Einsum<equation = \"abc->a\">(u)"),
    ("6,3,4", f"{TURN} r = Mul(t, b) u = Transpose<perm = [1, 0, 2]>(r) y = MatMul(u, w)"),
    ("6,3,4", f"{TURN} r = Softmax<axis = 1>(t) u = Transpose<perm = [1, 0, 2]>(r) y = MatMul(u, w)"),
    ("6,3,4", f"{TURN} r = ArgMax<axis = 1, keepdims = 0>(t) s = Cast<to = 1>(r) y = Einsum<equation = \"ab->a\">(s)"),
    # Several at once.
    ("6,3,4", f"{TURN} u = Transpose<perm = [1, 0, 2]>(x) r = Add(t, u) y = MatMul(r, w)"),
    ("6,3,4", f"{TURN} u = Transpose<perm = [1, 0, 2]>(x) r = Concat<axis = 0>(t, u) y = MatMul(r, w)"),
    ("6,3,4", f"{TURN} u = Neg(t) r = Concat<axis = 0>(t, u) y = MatMul(r, w)"),
    # With a value of fewer dims, which gets dims of 1.
    ("6,3,4", f"{ROW} {TURN} r = Add(t, k) u = Transpose<perm = [1, 0, 2]>(r) y = MatMul(u, w)"),
    ("6,3,4", f"{ROW} {TURN} r = Add(k, t) u = Transpose<perm = [0, 2, 1]>(r) y = Einsum<equation = \"abc->a\">(u)"),
    ("6,3,4", f"{ROW} {TURN} r = Add(t, k) s = Mul(r, k) u = Transpose<perm = [1, 0, 2]>(s) y = MatMul(u, w)"),
    # Sizes of 1 cost nothing.
    ("6,1,3,4", "t = Transpose<perm = [2, 1, 0, 3]>(a) r = Squeeze(t, a1) y = MatMul(r, w)"),
    ("6,3,4", f"{TURN} r = Unsqueeze(t, a0) y = MatMul(r, w)"),
    ("6,3,4", f"{TURN} r = Unsqueeze(t, a1) u = Transpose<perm = [1, 2, 0, 3]>(r) y = MatMul(u, w)"),
    ("6,3,4", f"{TURN} r = Tile(t, n) y = MatMul(r, w)"),
    ("6,3,4", f"{TURN} r = Slice(t, a0, a2, a0) y = MatMul(r, w)"),
    ("6,3,4", f"{TURN} r, s = Split<axis = 1, num_outputs = 2>(t) u = Add(r, s) y = MatMul(u, w)"),
    # What a Reshape does to dims in a row.
    *(
        (dims, f"t = Transpose<perm = [{perm}]>(a) r = Reshape(t, shape{place}) y = Einsum<equation = \"{equation}\">(r)")
        for place, (dims, perm, equation) in enumerate(
            (
                ("6,3,4", "1, 0, 2", "abcd->a"), ("6,3,4", "1, 0, 2", "abcd->a"), ("6,3,4", "1, 0, 2", "abcd->a"),
                ("6,3,4", "2, 0, 1", "abcd->a"), ("2,6,3,4", "0, 2, 1, 3", "abc->a"), ("1,6,3,4", "0, 2, 1, 3", "abc->a"),
                ("1,6,1,4", "2, 1, 0, 3", "abcd->a"),
            )
        )
    ),
    # Heads of attention.
    ("8,5,3,3,4", f"{GATHERED} {SCORED}"),
    ("8,5,3,3,4", f"{SLICED} {SCORED_5D}"),
    # Parts that are one Split, or not.
    ("6,3,4", "r = Slice(a, a0, a1, a1) s = Slice(a, a1, a3, a1) u = ReduceSum(s, a1) y = Add(r, u)"),
    ("6,3,4", "r = Gather<axis = 1>(a, i0) s = Slice(a, a1, a3, a1) u = ReduceSum<keepdims = 0>(s, a1) y = Add(r, u)"),
    ("6,3,4", "r = Gather<axis = 1>(a, a0) s = Slice(a, a1, a3, a1) y = Mul(r, s)"),
    ("6,1,4", "r = Gather<axis = 1>(a, i0) y = MatMul(r, w)"),
    ("6,1,4", "r = Slice(a, a0, a1, a1) s = Neg(r) y = MatMul(s, w)"),
    ("6,2,4", "r = Gather<axis = 1>(a, i0) s = Gather<axis = 1>(a, i0) u = MatMul(r, w) v = MatMul(s, w) y = Mul(u, v)"),
    # Transposes alone.
    ("6,3,4", "r = Transpose<perm = [0, 2, 1]>(x) y = Transpose<perm = [1, 2, 0]>(r)"),
    ("6,3,4", "r = Slice(a, a0, a2, a1) s = Slice(a, a1, a3, a1) y = Add(r, s)"),
    ("6,3,4", "r = Slice(a, a0, a1, a1) s = Slice(a, a1, a2, a1) y = Add(r, s)"),
    ("6,3,4", "r = Slice(a, a0, a1, a1) s = Slice(a, a1, a3, a2) u = ReduceSum(s, a2) y = Add(r, u)"),
    # In a second pass: onnxruntime looks again until nothing moves.
    ("2,6,3,4", "g = ReduceMax<keepdims = 0>(a, a0) t = Transpose<perm = [0, 2, 1, 3]>(a) h = Transpose<perm = [1, 0, 2]>(g) "
     "r = Add(t, h) u = Transpose<perm = [0, 2, 1, 3]>(r) y = MatMul(u, w)"),
]  # fmt: skip
SHAPES = ("1,3,6,4", "3,1,6,4", "3,6,2,2", "4,6,3,1", "6,6,4", "3,6,4", "1,1,6,4")


def rearrange(made: Graph) -> Graph:
    return join_slices(push_transposes(made))


def build(dims: str, body: str, opset: int = 18) -> onnx.ModelProto:
    shapes = ", ".join(f"int64[{len(text.split(','))}] shape{place} = {{{text}}}" for place, text in enumerate(SHAPES))
    text = f"(float[{dims}] x) => (float y) <{CONSTANTS}, int64[3] n = {{2, 1, 1}}, {shapes}> {{ a = Abs(x) {body} }}"
    return model(text, opset=opset, w=(4, 5), b=(4,))


def nodes_of(found: Graph) -> Iterator[tuple[str, tuple[int, ...]]]:
    for each in found.nodes:
        yield each.op_type, tuple(each.attributes["perm"]) if each.op_type == "Transpose" else ()


def their_nodes(proto: onnx.ModelProto) -> Iterator[tuple[str, tuple[int, ...]]]:
    for each in optimised(proto.SerializeToString(), WITHOUT):
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in each.attribute}
        yield each.op_type, tuple(attributes["perm"]) if each.op_type == "Transpose" else ()


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize(("dims", "body"), BODIES)
def test_as_onnxruntime(dims: str, body: str) -> None:
    proto = build(dims, body)
    assert Counter(nodes_of(rearrange(fold_constants(graph_of(proto))))) == Counter(their_nodes(proto))


def test_before_opset_13_nothing_is_split() -> None:
    """The axes of ReduceSum are an attribute then."""
    body = "r = Slice(a, a0, a1, a1) s = Slice(a, a1, a3, a1) u = ReduceMax<axes = [1]>(s) y = Add(r, u)"
    counts = [Counter(each.op_type for each in rearrange(graph_of(build("6,3,4", body, opset))).nodes) for opset in (12, 13)]
    assert [(found["Slice"], found["Split"]) for found in counts] == [(2, 0), (0, 1)]


X, A, B, C = (tensor(name, 2, 3, 4) for name in "xabc")
T, R = tensor("t", 3, 2, 4), tensor("r", 3, 2, 4)


def test_dims_and_symbols_are_moved_along() -> None:
    """With a buffer for each symbol: x, and a, t and b, of 96 bytes each, are there at the peak."""
    turn = node("Transpose", [A], [T], perm=(1, 0, 2))
    back = node("Transpose", [R], [B], perm=(1, 0, 2))
    made = graph([X], [C], node("Neg", [X], [A]), turn, node("Neg", [T], [R]), back, node("Neg", [B], [C]))
    symbols: dict[str, tuple[int | str | None, ...]] = dict.fromkeys("xabc", ("n", 3, 4))
    made = replace(made, symbolic_dims=symbols | {"t": (3, "n", 4), "r": (3, "n", 4)})
    found = rearrange(made)
    assert [each.op_type for each in found.nodes] == ["Neg", "Neg", "Neg"]
    assert found.symbolic_dims is not None
    assert (found.nodes[1].out.dims, found.symbolic_dims[found.nodes[1].out.name]) == ((2, 3, 4), ("n", 3, 4))
    assert plan_memory(made).peak.nbytes == 3 * 96


def test_a_returned_transpose_stays() -> None:
    made = graph([X], [T], node("Neg", [X], [A]), node("Transpose", [A], [T], perm=(1, 0, 2)))
    assert [each.op_type for each in rearrange(made).nodes] == ["Neg", "Transpose"]


@pytest.mark.parametrize("dims", [None, ("n", 3, 4)], ids=["no rank", "an open dim"])
def test_open_shapes_are_not_changed(dims: tuple[str | int, ...] | None) -> None:
    a, t = replace(A, dims=dims), replace(T, dims=dims and (3, "n", 4))
    reduced = replace(R, dims=None)
    made = graph(
        [X], [R], node("Neg", [X], [a]), node("Transpose", [a], [t], perm=(1, 0, 2)), node("ReduceMax", [t], [reduced])
    )
    assert rearrange(made) is made


def test_parts_of_an_unknown_size_are_a_split_too() -> None:
    """The rows of NonZero's output: only the data say how long they are."""
    body = "n = NonZero(x) r = Gather<axis = 0>(n, i0) s = Gather<axis = 0>(n, i1) y = Add(r, s)"
    text = f"(float[6,4] x) => (int64[k] y) <int64 i0 = {{0}}, int64 i1 = {{1}}> {{ {body} }}"
    found = Counter(node.op_type for node in join_slices(graph_of(model(text, opset=18))).nodes)
    assert (found["Split"], found["Gather"]) == (1, 0)
