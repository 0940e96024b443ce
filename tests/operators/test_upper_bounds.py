"""A count that data can only lower says so."""

import pytest

import onnxcost
from onnxcost.conventions import FLOPS, MACS
from tests.modeltext import model

BOXES = "(float[1,6,4] b, float[1,2,6] s) => (y) { m = Constant<value = int64[1] {3}>() y = NonMaxSuppression(b, s, m) }"
GRID = '(float[1,1,4,4] x, float[1,2,2,2] g) => (y) {{ y = GridSample<padding_mode = "{}">(x, g) }}'
ALIGN = "(float[1,1,4,4] x, float[2,4] r, int64[2] i) => (y) {{ y = RoiAlign<sampling_ratio = {}>(x, r, i) }}"
ROWS = [
    (BOXES, "upper"),
    (GRID.format("reflection"), "upper"),
    (GRID.format("zeros"), ""),
    (ALIGN.format(0), "upper"),
    (ALIGN.format(2), ""),
]


@pytest.mark.parametrize(("text", "bound"), ROWS)
def test_row(text, bound) -> None:
    report = onnxcost.estimate(model(text, opset=20))
    assert report.complete
    assert report.bound == bound
    assert any("its upper bound is counted" in warning for warning in report.warnings) == bool(bound)


# graph, bound of the MACs, of the FLOPs
BOUNDED_WORK = {
    "selection behind the products": (
        "(float[4,8] x) => (float y) { m = MatMul(x, w) n = NonZero(m) f = Cast <to = 1> (n) y = Relu(f) }", "", "upper",
    ),
    "selection in front of them": (
        "(float[4,8] x) => (float y) { n = NonZero(x) f = Cast <to = 1> (n) t = Transpose(f) y = MatMul(t, v) }",
        "upper", "upper",
    ),
    "branches of equal products": (
        """(float[4,8] x, bool c) => (float y) { y = If (c) <then_branch = t () => (float a) { a = MatMul(x, w) },
            else_branch = e () => (float b) { m = MatMul(x, w) b = Relu(m) }> }""", "", "upper",
    ),
    "branches of unlike products": (
        """(float[4,8] x, bool c) => (float y) { y = If (c) <then_branch = t () => (float a) { a = MatMul(x, w) },
            else_branch = e () => (float b) { b = Relu(x) }> }""", "upper", "upper",
    ),
    "nothing that data decides": ("(float[4,8] x) => (float y) { y = MatMul(x, w) }", "", ""),
}  # fmt: skip


@pytest.mark.parametrize(("text", "of_macs", "of_flops"), BOUNDED_WORK.values(), ids=BOUNDED_WORK.keys())
def test_macs_are_a_bound_where_bounded_nodes_have_some(text: str, of_macs: str, of_flops: str) -> None:
    report = onnxcost.estimate(model(text, w=(8, 8), v=(2, 3)))
    assert (report.bound_of(MACS), report.bound_of(FLOPS), report.bound) == (of_macs, of_flops, of_flops)
    assert report.to_dict()["macs_bound"] == of_macs
