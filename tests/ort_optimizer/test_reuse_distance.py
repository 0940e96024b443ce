"""How much was touched since: small graphs, followed by hand. All values are of 400 bytes where nothing else is said.

What no step makes is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import pytest

from onnxcost.graph import Node, Tensor
from onnxcost.ort_optimizer.fused_node import FusedNode, Reuse
from onnxcost.ort_optimizer.pipeline import add_reuse_distances
from tests.graphs import node, tensor

FIRST = Reuse(400, inf)
"""What was not there in this run yet."""
SIZES = {"m2": 200, "n2": 200, "n3": 300, "o3": 300, "h": 50, "w": 250}


def value(name: str) -> Tensor:
    return tensor(name, SIZES.get(name, 100), constant=name == "w")


def step(line: str, residuals: str = "") -> FusedNode:
    """Of "a, b = Split(x)"; "w" is a constant of 1,000 bytes."""
    made, _, call = line.partition(" = ")
    operator, _, read = call.rstrip(")").partition("(")
    done: Node = node(operator, [*map(value, read.split(", "))], [*map(value, made.split(", "))])
    return FusedNode(done, residuals=tuple(map(value, residuals.split())))


def accesses_of(step: FusedNode) -> list[Reuse]:
    """Reads and writes alike."""
    return [Reuse(each.nbytes, each.distance) for each in step.reuses]


def accesses(steps: Iterable[FusedNode]) -> list[list[Reuse]]:
    return [accesses_of(step) for step in add_reuse_distances(list(steps))]


def reuses(*lines: str) -> list[list[Reuse]]:
    return accesses(step(line) for line in lines)


def test_reads_come_before_writes() -> None:
    (made,) = add_reuse_distances([step("a, b = Split(x)")])
    assert [each.is_written for each in made.reuses] == [False, True, True]


def test_distances_are_the_bytes_touched_between() -> None:
    found = reuses("a = Softmax(x)", "b = Softmax(a)", "c = Softmax(b)", "m2 = Concat(c, x)")
    assert found == [
        # 800 bytes are touched here, and 800 in each of the next two.
        [FIRST, FIRST],
        [Reuse(400, 0.0), FIRST],
        # b was made just now; c gets the buffer of a, which was read just then.
        [Reuse(400, 0.0), Reuse(400, 0.0)],
        # x was read in the first step, and 1,600 bytes since; no free buffer is large enough for the result.
        [Reuse(400, 0.0), Reuse(400, 1600.0), Reuse(800, inf)],
    ]


def test_constants_are_touched_but_have_no_reuse() -> None:
    """The products touch 1,800 bytes each."""
    assert reuses("a = MatMul(x, w)", "b = MatMul(a, w)", "c = Softmax(x)", "d = Softmax(b)") == [
        [FIRST, FIRST],
        [Reuse(400, 0.0), FIRST],
        [Reuse(400, 1800.0), Reuse(400, 0.0)],
        [Reuse(400, 800.0), FIRST],
    ]


def test_a_shared_cache_is_not_written_elsewhere() -> None:
    """Of an attention on a cache of 400 bytes, and its result: with the attribute the present is the past."""
    inputs, outputs = [value("x"), None, None, value("k")], [value("a"), value("present")]
    for shares, written in ((0, [FIRST, FIRST]), (1, [FIRST])):
        attention = node("com.microsoft.GroupQueryAttention", inputs, outputs, past_present_share_buffer=shares)
        (found,) = add_reuse_distances([FusedNode(attention)])
        assert accesses_of(found) == [FIRST, FIRST, *written]


def test_elementwise_kernels_overwrite_inputs_without_other_readers() -> None:
    """Neither the second step nor the third writes anywhere else, and each touches 400 bytes."""
    assert reuses("a = Softmax(x)", "b = Neg(a)", "c = Exp(b)", "d = Softmax(x)") == [
        [FIRST, FIRST],
        [Reuse(400, 0.0)],
        [Reuse(400, 0.0)],
        [Reuse(400, 800.0), FIRST],
    ]


def test_what_is_read_again_is_not_written_over() -> None:
    assert reuses("a = Softmax(x)", "b = Neg(a)", "c = Softmax(a)", "d = Add(b, x)")[1] == [Reuse(400, 0.0), FIRST]


@pytest.mark.parametrize(
    "lines",
    [("b = Neg(x)",), ("v = Reshape(x)", "b = Neg(v)"), ("v = Reshape(x)", "u = Flatten(v)", "b = Neg(u)")],
)
def test_what_the_caller_gives_is_not_written_over(lines: tuple[str, ...]) -> None:
    """Nor is its memory free afterwards, whoever reads it last."""
    *_, negated, after = reuses(*lines, "c = Softmax(b)")
    assert negated == [FIRST, FIRST]
    assert after == [Reuse(400, 0.0), FIRST]


def test_other_kernels_write_elsewhere() -> None:
    assert reuses("a = Softmax(x)", "b = Softmax(a)", "c = Add(b, x)")[1] == [Reuse(400, 0.0), FIRST]


def test_a_smaller_result_is_written_elsewhere() -> None:
    assert reuses("a = Softmax(x)", "h = Neg(a)", "c = Softmax(x)")[1] == [Reuse(400, 0.0), Reuse(200, inf)]


def test_views_take_no_time_and_lie_where_their_input_does() -> None:
    """a is in memory until v is read; what is made of that may be written over it, as 400 bytes are."""
    assert reuses("a = Softmax(x)", "v = Reshape(a)", "u = Flatten(v)", "b = Softmax(x)", "c = Neg(u)", "d = Softmax(x)") == [
        [FIRST, FIRST],
        [],
        [],
        [Reuse(400, 0.0), FIRST],
        [Reuse(400, 800.0)],
        [Reuse(400, 400.0), FIRST],
    ]


def test_of_two_free_buffers_the_one_that_was_freed_last_is_taken() -> None:
    """b was freed when n2 was made, just then; a when m2 was: since then 1,600 bytes were touched for n2 and 800 for c."""
    found = reuses(
        "a = Softmax(x)",
        "b = Softmax(x)",
        "m2 = Concat(a, x)",
        "n2 = Concat(b, x)",
        "c = Softmax(x)",
        "d = Softmax(x)",
        "z = Concat(m2, n2, c, d, x)",
    )
    assert [each[-1] for each in found[4:6]] == [Reuse(400, 0.0), Reuse(400, 2400.0)]


def test_a_free_buffer_that_is_too_small_is_passed_over() -> None:
    """That of m2, of 800 bytes, is free since n3 was made, that of h, of 200, since o3 was: 1,800 bytes later. 400 bytes of the
    first are left for d.
    """
    found = reuses(
        "m2 = Concat(x, x)",
        "h = Softmax(x)",
        "n3 = Concat(m2, x)",
        "o3 = Concat(h, x)",
        "c = Softmax(x)",
        "d = Softmax(x)",
        "z = Concat(n3, o3, c, d, x)",
    )
    assert [each[-1] for each in found[4:6]] == [Reuse(400, 1800.0), Reuse(400, 2600.0)]


def test_what_is_left_of_a_buffer_is_free_yet() -> None:
    """The result of 400 bytes takes h of 800 that were touched last when c was made, 1,200 bytes ago, and d the other."""
    found = reuses("m2 = Concat(x, x)", "c = Softmax(m2)", "d = Softmax(x)", "e = Softmax(x)", "z = Concat(c, d, e, x)")
    assert [each[-1] for each in found[:4]] == [Reuse(800, inf), FIRST, Reuse(400, 0.0), Reuse(400, 800.0)]


def test_each_value_is_read_once_and_each_output_written() -> None:
    assert reuses("a = Softmax(x)", "b = Add(a, a)", "c, d = Split(x)") == [
        [FIRST, FIRST],
        [Reuse(400, 0.0)],
        [Reuse(400, 400.0), FIRST, FIRST],
    ]


def test_what_a_kernel_adds_is_read_with_it() -> None:
    steps = [step("a = Softmax(x)"), step("b = Softmax(x)"), step("c = Softmax(b)", residuals="a"), step("d = Softmax(x)")]
    assert accesses(steps)[2] == [Reuse(400, 0.0), Reuse(400, 800.0), FIRST]


def test_what_has_no_known_shape_is_left_out() -> None:
    unknown = FusedNode(node("Softmax", [tensor("x", None)], [value("a")]))
    assert accesses([unknown]) == [[FIRST]]
