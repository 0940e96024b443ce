from __future__ import annotations

from onnxcost.retyped import retyped
from tests.hardware.machines import MATMUL, report


def test_bytes_shrink_and_work_stays() -> None:
    half, eight = (retyped(MATMUL, {"float32": dtype}) for dtype in ("float16", "int8"))
    assert [made.memory.weight_bytes for made in (MATMUL, half, eight)] == [4_000_000, 2_000_000, 1_000_000]
    assert [made.memory.peak_activation_bytes for made in (MATMUL, half, eight)] == [8_000, 4_000, 2_000]
    assert [made.whole.traffic.total for made in (MATMUL, half, eight)] == [4_008_000, 2_004_000, 1_002_000]
    assert {made.macs for made in (MATMUL, half, eight)} == {1_000_000}
    assert [cost.dtype for cost in eight.counted] == ["int8"]
    assert eight.graph.inputs[0].dtype == "int8"


def test_other_types_stay_as_they_are() -> None:
    made = report("(int64[3] i) => (float[3,16] y) { y = Gather(w, i) }", w=(10, 16))
    half = retyped(made, {"float32": "float16"})
    assert (half.graph.inputs[0].dtype, half.graph.outputs[0].dtype) == ("int64", "float16")
    assert half.memory.weight_bytes == made.memory.weight_bytes / 2


def test_without_types_it_is_the_same_report() -> None:
    assert retyped(MATMUL, {}) is MATMUL
