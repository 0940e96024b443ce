"""Quantized operators against the oracle. Scalars stand for the integers too: the evaluator's casts keep them."""

import numpy as np
import pytest

from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

ZERO = np.array(3, np.uint8)
SCALE = np.array(0.1, np.float32)

CASES = [
    case("MatMulInteger", (2, 3), (3, 4)),
    case("MatMulInteger", (2, 3), (3, 4), ZERO),
    case("MatMulInteger", (5, 2, 3), (3, 4), ZERO, ZERO),
    case("ConvInteger", (1, 2, 4, 4), (3, 2, 3, 3)),
    case("ConvInteger", (1, 2, 4, 4), (3, 2, 3, 3), ZERO, ZERO, pads=[1, 1, 1, 1]),
    case("ConvInteger", (1, 2, 4, 4), (4, 1, 3, 3), ZERO, ZERO, group=2),
    case("QLinearMatMul", (2, 3), (), ZERO, (3, 4), (), ZERO, (), ZERO),
    case("QLinearConv", (1, 2, 4, 4), (), ZERO, (3, 2, 3, 3), (), ZERO, (), ZERO),
    case("QLinearConv", (1, 2, 4, 4), (), ZERO, (3, 2, 3, 3), (), ZERO, (), ZERO, (3,)),
    case("QLinearConv", (1, 2, 4, 4), (), ZERO, (3, 2, 3, 3), (3,), ZERO, (), ZERO, (3,)),
    case("QuantizeLinear", (2, 3), SCALE),
    case("QuantizeLinear", (2, 3), SCALE, ZERO),
    case("QuantizeLinear", (2, 3), (3,), np.array([1, 2, 3], np.uint8)),
    case("DequantizeLinear", (2, 3), ()),
    case("DequantizeLinear", (2, 3), (), ()),
    case("DequantizeLinear", (2, 3), (3,), (3,), axis=1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


BY_HAND = [
    # the evaluator forces the range into float32. Each of 6: in the maximum, in the minimum, X/s, rounded, + y₀, two bounds;
    # once: max − min, its division by 255, 0 − min/s, rounded and bounded
    ("DynamicQuantizeLinear", [(2, 3)], [(2, 3), (), ()], Work(compares=6 * 5 + 3, divs=6 + 2, adds=6 + 2)),
    ("DynamicQuantizeLinear", [(0, 3)], [(0, 3), (), ()], Work()),
]


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, work) -> None:
    assert by_hand(op_type, inputs, outputs) == work
