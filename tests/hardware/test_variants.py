from __future__ import annotations

import pytest

from onnxcost.hardware.variants import retype_report
from tests.hardware.machines import MATMUL, report


def test_bytes_shrink_and_work_is_the_same() -> None:
    half, eight = (retype_report(MATMUL, {"float32": dtype}) for dtype in ("float16", "int8"))
    assert [made.memory.weight_bytes for made in (MATMUL, half, eight)] == [4_000_000, 2_000_000, 1_000_000]
    # On a CPU the product of halves is one of floats: x, its copy in floats, and the result in floats.
    assert [made.memory.peak_activation_bytes for made in (MATMUL, half, eight)] == [8_000, 2_000 + 4_000 + 4_000, 2_000]
    assert [made.whole.traffic.total for made in (MATMUL, half, eight)] == [4_008_000, 2_004_000, 1_002_000]
    assert {made.macs for made in (MATMUL, half, eight)} == {1_000_000}
    assert [cost.dtype for cost in eight.counted] == ["int8"]
    assert eight.graph.inputs[0].dtype == "int8"


def test_other_types_stay_as_they_are() -> None:
    made = report("(int64[3] i) => (float[3,16] y) { y = Gather(w, i) }", w=(10, 16))
    half = retype_report(made, {"float32": "float16"})
    assert (half.graph.inputs[0].dtype, half.graph.outputs[0].dtype) == ("int64", "float16")
    assert half.memory.weight_bytes == made.memory.weight_bytes / 2


CONV = "(float[1,8,6,6] x) => (float[1,4,6,6] y) {{ {} }}"
PRODUCT = "(float[1,8] x) => (float[1,4] y) {{ {} }}"


@pytest.mark.parametrize(
    ("graph", "weights", "in_eight"),
    [
        (CONV.format("y = Conv(x, w, b)"), {"w": (4, 8, 1, 1), "b": (4,)}, 32 + 4 * 4),
        (CONV.format("c = Conv(x, w) y = Add(c, b)"), {"w": (4, 8, 1, 1), "b": (4, 1, 1)}, 32 + 4 * 4),
        (CONV.format("c = ConvTranspose(x, w, b) y = Relu(c)"), {"w": (8, 4, 1, 1), "b": (4,)}, 32 + 4 * 4),
        (PRODUCT.format("y = Gemm(x, w, b)"), {"w": (8, 4), "b": (4,)}, 32 + 4 * 4),
        (PRODUCT.format("m = MatMul(x, w) y = Add(b, m)"), {"w": (8, 4), "b": (4,)}, 32 + 4 * 4),
        (PRODUCT.format("m = MatMul(x, w) y = Add(m, s)"), {"w": (8, 4), "s": (1,)}, 32 + 1),
        (PRODUCT.format("m = MatMul(x, w) r = Relu(m) y = Add(r, s)"), {"w": (8, 4), "s": (4,)}, 32 + 4),
        (PRODUCT.format("m = MatMul(x, w) y = Mul(m, s)"), {"w": (8, 4), "s": (4,)}, 32 + 4),
    ],
    ids=["of a Conv", "behind a Conv", "of a ConvTranspose", "of a Gemm", "behind a MatMul", "scalar", "behind a Relu", "Mul"],
)  # fmt: skip
def test_among_integers_a_bias_has_32_bits(graph: str, weights: dict[str, tuple[int, ...]], in_eight: int) -> None:
    made = report(graph, **weights)
    half, eight = (retype_report(made, {"float32": dtype}) for dtype in ("float16", "int8"))
    assert (half.memory.weight_bytes, eight.memory.weight_bytes) == (made.memory.weight_bytes / 2, in_eight)
    assert eight.parameters == made.parameters
    assert eight.costs[0].parameters == made.costs[0].parameters


def test_a_product_of_vectors_has_no_channels() -> None:
    made = report("(float[8] x) => (float y) { m = MatMul(x, w) y = Add(m, s) }", w=(8,), s=())
    assert retype_report(made, {"float32": "int8"}).memory.weight_bytes == 9


def test_without_types_it_is_the_same_report() -> None:
    assert retype_report(MATMUL, {}) is MATMUL
