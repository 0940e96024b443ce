"""Optimizers against the oracle."""

import numpy as np
import pytest

from onnxcost.formulas import FORMULAS, Formula
from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

DOMAIN = "ai.onnx.preview.training"
W = (2, 3)
STEP = np.array(3, np.int64)
TIME = "T is a plain number: 1 + T·decay is not seen"
POWERS = "T is a plain number: of R·√(1 − β^T)/(1 − α^T) the product and the quotient are seen"

CASES = [
    case(f"{DOMAIN}.Adagrad", (), STEP, W, W, W, outputs=2, artefact=Work(muls=-1, adds=-1), why=TIME),
    case(f"{DOMAIN}.Adam", (), STEP, W, W, W, W, outputs=3, why=POWERS,
         artefact=Work(compares=-1, adds=-2, transcendentals=-3)),
    case(f"{DOMAIN}.Momentum", (), STEP, W, W, W, outputs=2, artefact=Work(compares=-1), why="whether T > 0 is not seen",
         alpha=0.9, beta=0.9, norm_coefficient=0.1, mode="standard"),
    case(f"{DOMAIN}.Momentum", (), STEP, W, W, W, outputs=2, artefact=Work(compares=-1), why="whether T > 0 is not seen",
         alpha=0.9, beta=0.9, norm_coefficient=0.1, mode="nesterov"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


def test_several_tensors() -> None:
    two = by_hand(f"{DOMAIN}.Adam", [(), STEP, W, (5,), W, (5,), W, (5,), W, (5,)], [W, (5,), W, (5,), W, (5,)])
    one = by_hand(f"{DOMAIN}.Adam", [(), STEP, (11,), (11,), (11,), (11,)], [(11,), (11,), (11,)])
    assert two == one


def test_outputs_are_as_the_weights_and_what_is_remembered_of_them() -> None:
    from tests.oracle.cases import node_of

    inputs = [(), STEP, W, (5,), W, (5,), W, (5,)]
    node = node_of(case(f"{DOMAIN}.Adagrad", *inputs, outputs=4), inputs, [None] * 4)
    formula = FORMULAS[node.key]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    assert [dims for _, dims in formula.shapes(node)] == [W, (5,), W, (5,)]
