"""Elementwise operators against the oracle."""

import numpy as np
import pytest

from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

FUNCTIONS = "Sqrt Exp Log Erf Sin Cos Tan Asin Acos Atan Sinh Cosh Tanh Asinh Acosh Atanh"
LOW, HIGH = np.array(0.05), np.array(0.5)

CASES = [
    *(case(name, (2, 3), (3,)) for name in ["Add", "Sub", "Mul", "Div", "Pow", "Mod"]),
    *(case(name, (2, 1), (4, 1, 3)) for name in ["Add", "Sub", "Mul", "Div", "Pow", "Mod"]),
    case("Mod", (2, 3), (3,), fmod=1),
    *(case(name, (2, 3), (3,)) for name in ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]),
    *(case(name, (2, 3), (3,)) for name in ["BitwiseAnd", "BitwiseOr", "BitwiseXor"]),
    *(case(name, (2, 3)) for name in ["Neg", "Reciprocal", "Abs", "Ceil", "Floor", "Round", "BitwiseNot"]),
    *(case(name, (2, 3)) for name in FUNCTIONS.split()),
    *(case(name, *shapes) for name in ("Mean", "Max", "Min") for shapes in [[(2, 3)], [(2, 3), (3,)], [(2, 3), (3,), (2, 1)]]),
    *(case("Sum", *shapes, artefact=Work(adds=6), why="the evaluator's sum starts with an addition to 0")
      for shapes in [[(2, 3)], [(2, 3), (3,)], [(2, 3), (3,), (2, 1)]]),
    case("Sign", (2, 3), artefact=Work(compares=6), why="numpy asks x < 0 and then x > 0 of a positive number"),
    case("Clip", (2, 3)),
    case("Clip", (2, 3), LOW),
    case("Clip", (2, 3), None, HIGH),
    case("Clip", (2, 3), LOW, HIGH),
    case("Clip", (2, 3), opset=6, min=0.05, max=0.5),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


PICKS = "numpy.where picks in C: no scalar is asked"
TRUTH = "numpy's logical functions ask an object for its truth, which is no operation on a number"
TESTS = "numpy has no isnan or isinf for objects, and the oracle's are not counted"

BY_HAND = [
    ("Where", [(2, 3), (3,), (2, 1)], [(2, 3)], PICKS),
    ("And", [(2, 3), (3,)], [(2, 3)], TRUTH),
    ("Or", [(2, 3), (3,)], [(2, 3)], TRUTH),
    ("Xor", [(2, 3), (3,)], [(2, 3)], TRUTH),
    ("Not", [(2, 3)], [(2, 3)], TRUTH),
    ("IsNaN", [(2, 3)], [(2, 3)], TESTS),
    ("IsInf", [(2, 3)], [(2, 3)], TESTS),
    ("BitShift", [(2, 3), (2, 3)], [(2, 3)], "the evaluator asks the integer type for its width"),
]


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "why"), BY_HAND)
def test_one_comparison_an_element(op_type, inputs, outputs, why) -> None:
    attributes = {"direction": "LEFT"} if op_type == "BitShift" else {}
    assert by_hand(op_type, inputs, outputs, **attributes) == Work(compares=6), why
