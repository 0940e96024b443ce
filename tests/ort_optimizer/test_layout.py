"""The walk through a layout, on a layout of the tests' own: what is brought into it and out of it, and for which step."""

from __future__ import annotations

from collections.abc import Set

import pytest

from onnxcost.graph import DefUse, Node, Tensor
from onnxcost.ort_optimizer.fused_node import FusedNode
from onnxcost.ort_optimizer.layout import Layout, insert_reorders
from tests.graphs import graph, node, tensor


def _works(step: FusedNode, inside: Set[str], uses: DefUse) -> bool:
    """A Conv does in any case, a Relu and a sum where all that they read is there."""
    return step.node.key == "Conv" or (step.node.key in ("Relu", "Add") and all(t.name in inside for t in step.data))


OWN = Layout(_works)
NOWHERE = Layout(lambda step, inside, uses: False, sums_elsewhere=False)
THIN = Layout(_works, reads_plain=lambda node: node.x.name == "x")


def value(name: str) -> Tensor:
    return tensor(name, 1, 4, 2, 2)


def step(line: str, *absorbed: Node, residuals: str = "", **attributes: object) -> FusedNode:
    """Of "y = Add(a, b)"; a "w" is a constant."""
    made, _, call = line.partition(" = ")
    operator, _, read = call.rstrip(")").partition("(")
    inputs = [tensor("w", 4, 4, 1, 1, constant=True) if name == "w" else value(name) for name in read.split(", ")]
    return FusedNode(node(operator, [*inputs], [value(made)], **attributes), absorbed, tuple(map(value, residuals.split())))


def told(steps: list[FusedNode], layout: Layout = OWN, outputs: tuple[str, ...] = ()) -> list[str]:
    """Each step as its operator, a star where it works on the layout, and what is brought there or back for it."""
    ends = [value(name) for name in outputs]
    nodes = graph([value("x")], ends, *(each.node for each in steps))
    return [
        f"{each.kind or each.node.op_type}{'*' * each.is_blocked}"
        f"({' '.join(tensor.name for tensor in each.reordered)}){' turned' * each.channels_last}"
        for each in insert_reorders(nodes, steps, layout)
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # Once each way, however many steps there are between, and however many read it.
        (["a = Conv(x, w)", "b = Relu(a)", "c = Conv(b, w)", "y = Erf(c)"], ["Conv*(x)", "Relu*()", "Conv*()", "Erf(c)"]),
        (["a = Conv(x, w)", "b = Conv(x, w)", "c = Erf(a)", "y = Exp(a)"], ["Conv*(x)", "Conv*()", "Erf(a)", "Exp()"]),
        # What stays outside is not brought there, nor what only tells its shape.
        (["a = Erf(x)", "b = Relu(a)", "y = Conv(b, w)"], ["Erf()", "Relu()", "Conv*(b)"]),
        (["a = Conv(x, w)", "s = Shape(a)"], ["Conv*(x)", "Shape()"]),
        # A step that reads both kinds is outside; what it reads then is there in both layouts.
        (["a = Conv(x, w)", "b = Add(a, x)", "y = Relu(b)", "z = Erf(a)"], ["Conv*(x)", "Add(a)", "Relu()", "Erf()"]),
        (["a = Conv(x, w)", "b = Add(a, a)", "y = Erf(b)"], ["Conv*(x)", "Add*()", "Erf(b)"]),
    ],
)
def test_what_is_brought_there_and_back(lines: list[str], expected: list[str]) -> None:
    assert told([step(line) for line in lines]) == expected


def test_the_first_input_may_be_read_as_it_is() -> None:
    assert told([step("a = Conv(x, w)"), step("b = Conv(a, w)"), step("y = Erf(b)")], THIN) == ["Conv*()", "Conv*()", "Erf(b)"]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (("b",), ["Conv*(x)", "Relu*(b)"]),
        (("a", "b"), ["Conv*(x)", "Relu*(a b)"]),
        (("x",), ["Conv*(x)", "Relu*()"]),
    ],
)
def test_what_the_caller_reads_is_brought_back_at_the_end(outputs: tuple[str, ...], expected: list[str]) -> None:
    assert told([step("a = Conv(x, w)"), step("b = Relu(a)")], outputs=outputs) == expected


def test_what_the_caller_reads_is_brought_back_once() -> None:
    assert told([step("a = Conv(x, w)"), step("y = Erf(a)")], outputs=("a", "y")) == ["Conv*(x)", "Erf(a)"]


ADD = node("Add", [value("a"), value("r")], [value("b")])
RELU = node("Relu", [value("b")], [value("y")])


def summed(residual: str) -> FusedNode:
    """A convolution with the sum behind it, and the bound behind that."""
    return step("y = Conv(x, w)", ADD, RELU, residuals=residual)


def test_a_sum_is_parted_from_its_convolution_where_the_other_summand_is_outside() -> None:
    before, convolution, total, bound = insert_reorders(graph([value("x")], [], ADD), [step("r = Erf(x)"), summed("r")], OWN)
    assert not before.is_blocked
    assert (convolution.node.key, convolution.is_blocked, convolution.absorbed) == ("Conv", True, ())
    assert [made.name for made in convolution.node.outputs if made is not None] == ["a"]
    assert convolution.residuals == ()
    assert (total.node, total.is_blocked, [tensor.name for tensor in total.reordered]) == (ADD, False, ["a"])
    assert (bound.node, bound.is_blocked, bound.reordered) == (RELU, False, ())


@pytest.mark.parametrize(
    ("layout", "expected"),
    [(NOWHERE, ["Conv()", "Add()", "Relu()"]), (NOWHERE._replace(sums_elsewhere=True), ["Conv()"])],
)
def test_a_sum_is_parted_from_a_convolution_outside_where_nothing_is_summed_there(layout: Layout, expected: list[str]) -> None:
    assert told([summed("r")], layout) == expected


def test_a_sum_stays_with_its_convolution_if_the_other_summand_is_in_the_layout() -> None:
    assert told([step("r = Conv(x, w)"), summed("r")]) == ["Conv*(x)", "Conv*()"]


def test_what_is_absorbed_before_the_sum_stays_with_the_convolution() -> None:
    scale = node("Mul", [value("m"), value("w")], [value("a")])
    laid = insert_reorders(
        graph([value("x")], [], ADD), [step("r = Erf(x)"), step("b = Conv(x, w)", scale, ADD, residuals="r")], OWN
    )
    assert [(each.node.key, [node.key for node in each.absorbed]) for each in laid] == [
        ("Erf", []),
        ("Conv", ["Mul"]),
        ("Add", []),
    ]


IN, OUT = [0, 3, 1, 2], [0, 2, 3, 1]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # One that brings channels before the image and what brings them into the layout; and the same on the way out.
        ([step("t = Transpose(x)", perm=IN), step("y = Conv(t, w)")], ["Reshape()", "Conv*(t) turned"]),
        ([step("a = Conv(x, w)"), step("y = Transpose(a)", perm=OUT)], ["Conv*(x)", "Reshape(a) turned"]),
        # Not any other Transpose, nor one that another step reads.
        ([step("t = Transpose(x)", perm=OUT), step("y = Conv(t, w)")], ["Transpose()", "Conv*(t)"]),
        ([step("a = Conv(x, w)"), step("y = Transpose(a)", perm=IN)], ["Conv*(x)", "Transpose(a)"]),
        ([step("t = Transpose(x)", perm=IN), step("y = Conv(t, w)"), step("z = Erf(t)")],
         ["Transpose()", "Conv*(t)", "Erf()"]),
    ],
)  # fmt: skip
def test_transposes_that_are_one_with_a_reorder(steps: list[FusedNode], expected: list[str]) -> None:
    assert told(steps) == expected
