"""Shapes of what comes out of sequences and optionals, against runs of onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto

from onnxcost import estimate
from tests.modeltext import model

ANY = "m = ReduceMax<keepdims = 0>(x) i = Cast<to = 7>(m)"
# Of x, 2 × 6 × 4, and y, 2 × 3 × 4: sequences of them, and what is taken out or joined again.
NODES = {
    "the first": "s = SequenceConstruct(x, y) z = SequenceAt(s, zero)",
    "the second": "s = SequenceConstruct(x, y) z = SequenceAt(s, one)",
    "the last": "s = SequenceConstruct(x, y) z = SequenceAt(s, last)",
    "the one before it": "s = SequenceConstruct(x, y, y) z = SequenceAt(s, minus_three)",
    "appended": "e = SequenceConstruct(x) s = SequenceInsert(e, y) z = SequenceAt(s, one)",
    "inserted in front": "e = SequenceConstruct(x) s = SequenceInsert(e, y, zero) z = SequenceAt(s, zero)",
    "behind what was inserted": "e = SequenceConstruct(x) s = SequenceInsert(e, y, zero) z = SequenceAt(s, one)",
    "inserted before the last": "e = SequenceConstruct(x, x) s = SequenceInsert(e, y, last) z = SequenceAt(s, one)",
    "into an empty one": "e = SequenceEmpty() s = SequenceInsert(e, y) z = SequenceAt(s, zero)",
    "erased at the end": "e = SequenceConstruct(x, y, x) s = SequenceErase(e) z = SequenceAt(s, last)",
    "erased in front": "e = SequenceConstruct(x, y) s = SequenceErase(e, zero) z = SequenceAt(s, zero)",
    "erased before the end": "e = SequenceConstruct(x, y, x) s = SequenceErase(e, minus_two) z = SequenceAt(s, one)",
    "its length decides": "s = SequenceConstruct(x, y, x) n = SequenceLength(s) f = Unsqueeze(n, zeros) z = Expand(w, f)",
    "the length of an empty one": "s = SequenceEmpty() n = SequenceLength(s) f = Unsqueeze(n, zeros) z = ConstantOfShape(f)",
    "split by one": "s = SplitToSequence <axis = 1> (x) z = SequenceAt(s, one)",
    "split by one, the dim is gone": "s = SplitToSequence <axis = 1, keepdims = 0> (x) z = SequenceAt(s, one)",
    "split along the last dim": "s = SplitToSequence <axis = -1> (x) z = SequenceAt(s, last)",
    "split along the first dim": "s = SplitToSequence(x) z = SequenceAt(s, last)",
    "split by four": "s = SplitToSequence <axis = 1> (x, four) z = SequenceAt(s, zero)",
    "split by four, the rest": "s = SplitToSequence <axis = 1> (x, four) z = SequenceAt(s, last)",
    "split by three": "s = SplitToSequence <axis = 1> (x, three) z = ConcatFromSequence <axis = 0> (s)",
    "split by sizes": "s = SplitToSequence <axis = 1> (x, sizes) z = SequenceAt(s, last)",
    "split by sizes, the dim stays": "s = SplitToSequence <axis = 1, keepdims = 0> (x, sizes) z = SequenceAt(s, zero)",
    "joined": "s = SequenceConstruct(x, y) z = ConcatFromSequence <axis = 1> (s)",
    "joined along the last dim but one": "s = SequenceConstruct(x, y, x) z = ConcatFromSequence <axis = -2> (s)",
    "stacked": "s = SequenceConstruct(x, x, x) z = ConcatFromSequence <axis = 0, new_axis = 1> (s)",
    "stacked behind": "s = SequenceConstruct(x, x, x) z = ConcatFromSequence <axis = -1, new_axis = 1> (s)",
    "stacked in the middle": "s = SequenceConstruct(y, y) z = ConcatFromSequence <axis = 2, new_axis = 1> (s)",
    "split and joined": "s = SplitToSequence <axis = 1> (x, four) z = ConcatFromSequence <axis = 1> (s)",
    "handed on": "e = SequenceConstruct(x, y) s = Identity(e) z = SequenceAt(s, one)",
    "an optional": "o = Optional(y) z = OptionalGetElement(o)",
    "no optional": "z = OptionalGetElement(y)",
    "an optional sequence": "e = SequenceConstruct(x, y) o = Optional(e) s = OptionalGetElement(o) z = SequenceAt(s, one)",
    "whether there is one": "o = Optional(y) h = OptionalHasElement(o) z = If (h) <then_branch = a () => (t) { t = Relu(x) }, "
    "else_branch = b () => (t) { t = Relu(y) }>",
    # ANY is a position that only a run knows, 1 here.
    "any of two alike": f"{ANY} s = SequenceConstruct(y, y) z = SequenceAt(s, i)",
    "inserted anywhere among its like": f"{ANY} e = SequenceConstruct(y, y) s = SequenceInsert(e, y, i) "
    "z = SequenceAt(s, zero)",
    "the number after an insertion": f"{ANY} e = SequenceConstruct(y) s = SequenceInsert(e, y, i) n = SequenceLength(s) "
    "f = Unsqueeze(n, zeros) z = Expand(w, f)",
    "erased anywhere among its like": f"{ANY} e = SequenceConstruct(y, y) s = SequenceErase(e, i) z = SequenceAt(s, zero)",
    "the only one is erased": "e = SequenceConstruct(x) s = SequenceErase(e) r = SequenceInsert(s, y) z = SequenceAt(r, zero)",
    "no optional, but an element": "h = OptionalHasElement(y) z = If (h) <then_branch = a () => (t) { t = Relu(x) }, "
    "else_branch = b () => (t) { t = Relu(y) }>",
    "no element": "h = OptionalHasElement() z = If (h) <then_branch = a () => (t) { t = Relu(x) }, "
    "else_branch = b () => (t) { t = Relu(y) }>",
}  # fmt: skip
UNKNOWN = {
    "any of two": f"{ANY} s = SequenceConstruct(x, y) z = SequenceAt(s, i)",
    "inserted anywhere": f"{ANY} e = SequenceConstruct(x, x) s = SequenceInsert(e, y, i) z = SequenceAt(s, zero)",
    "erased anywhere": f"{ANY} e = SequenceConstruct(x, y, x) s = SequenceErase(e, i) z = SequenceAt(s, zero)",
    "behind the last": "s = SequenceConstruct(x, x, y) z = SequenceAt(s, three)",
    "in front of the first": "s = SequenceConstruct(x, y) z = SequenceAt(s, minus_three)",
}  # fmt: skip
NUMBERS = (
    "int64 zero = {0}, int64 one = {1}, int64 last = {-1}, int64 minus_two = {-2}, int64 minus_three = {-3}, "
    "int64 three = {3}, int64 four = {4}, int64[2] sizes = {1, 5}, int64[1] zeros = {0}, float[1] w = {1}"
)


def build(nodes: str) -> ModelProto:
    made = model(f"(float[2, 6, 4] x, float[2, 3, 4] y) => (float[a, b, c] z) <{NUMBERS}> {{ {nodes} }}", opset=18)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


@pytest.mark.parametrize("nodes", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_only_a_run_knows_has_no_shape(nodes: str) -> None:
    """Nothing more than what all elements share."""
    assert estimate(build(nodes)).graph.outputs[0].dims == (2, None, 4)


@pytest.mark.parametrize("nodes", NODES.values(), ids=NODES.keys())
def test_shapes_are_those_of_a_run(nodes: str) -> None:
    made = build(nodes)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"x": np.ones((2, 6, 4), np.float32), "y": np.ones((2, 3, 4), np.float32)}
    (z,) = session.run(None, {each.name: feeds[each.name] for each in session.get_inputs()})
    assert estimate(made).graph.outputs[0].dims == z.shape
