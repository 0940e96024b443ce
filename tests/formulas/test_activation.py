"""Activations and the Softmax family against the oracle."""

import pytest

from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

ROWS = "Relu LeakyRelu ThresholdedRelu HardSigmoid HardSwish Swish Mish Elu Selu Celu Softplus Softsign"
ELEMENT = Work(compares=1, adds=1, divs=1, transcendentals=1)
LOGS = "the evaluator takes the logarithm of each Softmax: a division and a logarithm an element, no second subtraction"


def logarithms(elements: int, rows: int) -> Work:
    return elements * Work(divs=1, transcendentals=1, adds=-1) + rows * Work(transcendentals=-1)


CASES = [
    *(case(name, (2, 3)) for name in ROWS.split()),
    case("Swish", (2, 3), alpha=0.5),
    case("PRelu", (2, 3), (3,)),
    case("PRelu", (2, 3, 4), (3, 1)),
    case("SwiGLU", (2, 3), (2, 3)),
    case("Gelu", (2, 3)),
    case("Gelu", (2, 3), artefact=Work(adds=6), why="its Sum(X, 0.044715·X³) starts at 0", approximate="tanh"),
    case("Sigmoid", (2, 3), artefact=6 * ELEMENT, why="the evaluator computes a branch for each sign and picks one"),
    case("Shrink", (2, 3), artefact=6 * Work(adds=1), why="the evaluator computes X + bias and X − bias and picks one"),
    case("Softmax", (2, 3)),
    case("Softmax", (2, 3, 4), axis=1),
    case("Softmax", (2, 1), axis=1),
    case("LogSoftmax", (2, 3), artefact=logarithms(6, 2), why=LOGS),
    case("LogSoftmax", (2, 3, 4), artefact=logarithms(24, 8), why=LOGS, axis=1),
    case("Hardmax", (2, 3)),
    case("Hardmax", (2, 3, 4), axis=1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


BY_HAND = [
    # before opset 13 the axes from axis on are one row (the evaluator knows only the newer meaning): 2 rows of 12
    ("Softmax", (2, 3, 4), Work(compares=22, adds=24 + 22, transcendentals=24, divs=24)),
    ("LogSoftmax", (2, 3, 4), Work(compares=22, adds=24 + 22 + 24, transcendentals=24 + 2)),
    ("Hardmax", (2, 3, 4), Work(compares=22)),
    ("Softmax", (2, 0, 4), Work()),
    ("Softmax", (0, 3, 4), Work()),
]


@pytest.mark.parametrize(("op_type", "shape", "work"), BY_HAND)
def test_rows_of_several_axes_before_opset_13(op_type, shape, work) -> None:
    assert by_hand(op_type, [shape], [shape], opset=11, axis=1) == work
