"""Random numbers: the evaluator's come from numpy, unseen."""

import numpy as np
import pytest

from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

CASES = [case("Dropout", (2, 4, 4))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


UNIFORM = Work(muls=9, adds=9)
# scaled bits, −2·log u₁ and its root, cos 2π·u₂, their product, scale and mean
NORMAL = 9 * Work(muls=1 + 2 + 1, adds=1 + 1, transcendentals=2)
BY_HAND = [
    ("RandomUniform", [], [(3, 3)], {"shape": [3, 3]}, UNIFORM),
    ("RandomUniformLike", [(3, 3)], [(3, 3)], {}, UNIFORM),
    ("RandomNormal", [], [(3, 3)], {"shape": [3, 3]}, NORMAL),
    ("RandomNormalLike", [(3, 3)], [(3, 3)], {}, NORMAL),
    ("Bernoulli", [(3, 3)], [(3, 3)], {}, UNIFORM + Work(compares=9)),
    # 2 rows of 5 classes: 4 comparisons and 4 sums, 5 differences and exponentials a row; 3 samples each by 3 comparisons
    ("Multinomial", [(2, 5)], [(2, 3)], {"sample_size": 3},
     Work(compares=8, adds=8 + 10, transcendentals=10) + 6 * Work(muls=1, adds=1, compares=3)),
    ("Dropout", [(3, 3), None, np.array(True)], [(3, 3)], {}, UNIFORM + Work(compares=9, muls=9)),
    ("Dropout", [(3, 3), None, np.array(False)], [(3, 3)], {}, Work()),
    ("Dropout", [(3, 3)], [(3, 3), (3, 3)], {"opset": 7, "ratio": 0.5}, Work()),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work
