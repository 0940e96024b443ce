"""Linear models and support vector machines against the oracle. Coefficients are plain numbers, the data are scalars."""

import pytest

from onnxcost.formulas import FORMULAS, Formula
from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check
from tests.oracle.cases import node_of

ML = "ai.onnx.ml"
X = (5, 4)
LABELS = [0, 1, 2]
MODEL = {"coefficients": [0.1] * 12, "intercepts": [0.1] * 3, "classlabels_ints": LABELS}
PAIR = {"coefficients": [0.1] * 4, "intercepts": [0.1], "classlabels_ints": [0, 1]}
SUMS = "the evaluator begins the sum over the vectors with 0"
KERNEL = {"kernel_params": [0.5, 0.1, 3.0], "rho": [0.1], "coefficients": [0.1] * 3, "support_vectors": [0.1] * 12}
CLASSES = {"kernel_params": [0.5, 0.1, 3.0], "rho": [0.1] * 3, "coefficients": [0.1] * 12, "support_vectors": [0.1] * 24,
           "vectors_per_class": [1, 2, 3], "classlabels_ints": LABELS}  # fmt: skip
VOTES = "votes are plain numbers: neither their additions nor the comparisons that find the most are seen"

CASES = [
    case(f"{ML}.LinearRegressor", X, coefficients=[0.1] * 8, intercepts=[0.1, 0.2], targets=2),
    case(f"{ML}.LinearClassifier", X, **MODEL),
    case(f"{ML}.LinearClassifier", X, post_transform="LOGISTIC", **MODEL),
    case(f"{ML}.LinearClassifier", X, post_transform="SOFTMAX", **MODEL),
    case(f"{ML}.LinearClassifier", X, post_transform="PROBIT", **MODEL),
    case(f"{ML}.LinearClassifier", X, post_transform="SOFTMAX_ZERO", artefact=Work(adds=5, compares=-15),
         why="the sum begins with 0, and one comparison shows that a score is positive", **MODEL),
    *(case(f"{ML}.SVMRegressor", X, kernel_type=kind, n_supports=3, artefact=Work(adds=5), why=SUMS, **KERNEL)
      for kind in ("LINEAR", "POLY", "RBF", "SIGMOID")),
    case(f"{ML}.SVMRegressor", X, kernel_type="RBF", n_supports=3, one_class=1, artefact=Work(adds=5), why=SUMS, **KERNEL),
    case(f"{ML}.SVMRegressor", X, coefficients=[0.1] * 4, rho=[0.1]),
    *(case(f"{ML}.SVMClassifier", X, kernel_type=kind, artefact=-5 * Work(adds=3, compares=2), why=VOTES, outputs=2, **CLASSES)
      for kind in ("LINEAR", "POLY", "RBF", "SIGMOID")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


# 4 products and 3 sums a row, ρ or the intercept
LINEAR = Work(macs=20, accumulators=5, bias_adds=5)
# Q of 3 classes from 6 squares or products and their sums of 2; a round: Q·p, p·Qp, 3 errors, and for each class a step (2),
# p·Qp (9) and 4 operations on each of 3 elements
ROUND = Work(macs=9 + 3, accumulators=3 + 1, adds=3, compares=6) + 3 * Work(adds=1 + 4 + 3, muls=4 + 3, divs=1 + 1 + 6)
COUPLING = Work(macs=6, accumulators=3, muls=6) + 100 * ROUND
PAIRWISE = 3 * Work(muls=1, adds=1 + 2 + 2, transcendentals=1, divs=1, compares=2)

BY_HAND = [
    # the evaluator writes the two scores of a pair of classes into float32
    (f"{ML}.LinearClassifier", {**PAIR}, LINEAR + 5 * Work(adds=1, compares=1)),
    (f"{ML}.LinearClassifier", {**PAIR, "classlabels_ints": [1]}, LINEAR + 5 * Work(compares=1)),
    # without support vectors: a linear model for each class
    (f"{ML}.SVMClassifier", {"coefficients": [0.1] * 12, "rho": [0.1], "classlabels_ints": LABELS},
     3 * LINEAR + 5 * Work(compares=2)),
    # with probabilities: those of the pairs, and the iteration to its limit of 100 rounds
    (f"{ML}.SVMClassifier", {**CLASSES, "prob_a": [0.1] * 3, "prob_b": [0.1] * 3}, 5 * Work(macs=24 + 12, accumulators=6 + 3,
     bias_adds=3, adds=3, compares=3 + 2) + 5 * (PAIRWISE + COUPLING)),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, attributes, work) -> None:
    assert by_hand(op_type, [X], [(5,), (5, 3)], **attributes) == work


SHAPES = [
    (f"{ML}.LinearRegressor", {"targets": 2}, [("float32", (5, 2))]),
    (f"{ML}.SVMRegressor", {}, [("float32", (5, 1))]),
    (f"{ML}.SVMClassifier", CLASSES, [("int64", (5,)), ("float32", (5, 3))]),
    (
        f"{ML}.SVMClassifier",
        {"classlabels_strings": ["a", "b"], "vectors_per_class": [1, 1]},
        [("string", (5,)), ("float32", (5, 2))],
    ),
    (f"{ML}.SVMClassifier", {"classlabels_ints": [7], "vectors_per_class": [2]}, [("int64", (5,)), ("float32", (5, 1))]),
    (f"{ML}.SVMClassifier", {**CLASSES, "classlabels_ints": [0, 1, 2, 3]}, [("int64", (5,)), ("float32", (5, 6))]),
    (
        f"{ML}.SVMClassifier",
        {**CLASSES, "classlabels_ints": [0, 1, 2, 3], "prob_a": [0.1]},
        [("int64", (5,)), ("float32", (5, 4))],
    ),
]


@pytest.mark.parametrize(("op_type", "attributes", "types"), SHAPES)
def test_shapes_that_onnx_does_not_infer(op_type, attributes, types) -> None:
    formula = FORMULAS[op_type]
    assert isinstance(formula, Formula)
    assert formula.shapes is not None
    assert list(formula.shapes(node_of(case(op_type, X, **attributes), [X], [None]))) == types
