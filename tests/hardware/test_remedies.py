from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

import onnxcost
from onnxcost.errors import ModelError
from onnxcost.hardware.variants import Again, try_variants
from onnxcost.report import CostReport
from tests.hardware.machines import MATMUL
from tests.modeltext import model

IMAGE = model("(float[batch,3,height,width] x) => (float y) { y = Conv(x, w) }", w=(4, 3, 1, 1))
UNNAMED = model("(float[1,3,?,?] x) => (float y) { y = Conv(x, w) }", w=(4, 3, 1, 1))
TEXT = model("(float[batch,sequence,8] x) => (float y) { y = MatMul(x, w) }", w=(8, 8))
INTEGERS = model("(uint8[4,8] x, uint8[8,2] w) => (int32[4,2] y) { y = MatMulInteger(x, w) }")


def again_of(made: object) -> Again:
    def again(*, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> CostReport:
        return onnxcost.estimate(made, shapes=shapes, dims=dims)

    return again


@pytest.mark.parametrize(
    ("made", "given", "changes"),
    [
        (
            IMAGE,
            {"dims": {"batch": 1, "height": 64, "width": 128}},
            ["float16", "int8", "height 64, width 96", "height 32, width 64"],
        ),
        (IMAGE, {"dims": {"batch": 4, "height": 8, "width": 8}}, ["float16", "int8", "batch 1", "int8 and batch 1"]),
        (TEXT, {"dims": {"batch": 1, "sequence": 100}}, ["float16", "int8", "sequence 75", "sequence 50", "sequence 25"]),
        (INTEGERS, {}, []),
    ],
)
def test_what_is_tried(made: object, given: dict[str, dict[str, int]], changes: list[str]) -> None:
    found = [variant.change for variant in try_variants(onnxcost.estimate(made, **given), again_of(made))]
    assert found[: len(changes)] == changes


def test_types_are_tried_where_the_model_cannot_be_counted_again() -> None:
    assert [variant.change for variant in try_variants(MATMUL, None)] == ["float16", "int8"]


@pytest.mark.parametrize(
    ("made", "given", "change", "macs", "weights"),
    [
        (IMAGE, {"dims": {"batch": 1, "height": 64, "width": 64}}, "int8", 64 * 64 * 12, 12),
        (IMAGE, {"dims": {"batch": 1, "height": 64, "width": 64}}, "height 32, width 32", 32 * 32 * 12, 48),
        (IMAGE, {"dims": {"batch": 1, "height": 64, "width": 64}}, "int8 and height 32, width 32", 32 * 32 * 12, 12),
        (IMAGE, {"dims": {"batch": 8, "height": 16, "width": 16}}, "batch 1", 16 * 16 * 12, 48),
        (UNNAMED, {"shapes": {"x": (1, 3, 64, 64)}}, "x[2] 32, x[3] 32", 32 * 32 * 12, 48),
    ],
)
def test_a_change_is_counted_not_guessed(
    made: object, given: dict[str, dict[str, int]], change: str, macs: int, weights: int
) -> None:
    found = {variant.change: variant for variant in try_variants(onnxcost.estimate(made, **given), again_of(made))}
    report = found[change].report()
    assert report is not None
    assert (report.macs, report.memory.weight_bytes) == (macs, weights)
    assert found[change].report() is report


def test_a_size_that_the_model_does_not_take_is_no_remedy() -> None:
    def again(*, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> CostReport:
        raise ModelError("it cannot be so")

    report = onnxcost.estimate(IMAGE, dims={"batch": 1, "height": 64, "width": 64})
    assert [variant.report() for variant in try_variants(report, again)][2:] == [None] * 6
